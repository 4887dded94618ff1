"""The contract: generated messages and stubs of `runwire.v1`. Regenerate with `make gen`."""
