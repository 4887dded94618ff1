"""Plays the conformance cases: a real server, a driver per language, and what goes wrong between them."""
