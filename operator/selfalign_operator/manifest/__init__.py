"""Reads a manifest file and tells everything that is wrong with it at once."""
