"""Runwire."""
