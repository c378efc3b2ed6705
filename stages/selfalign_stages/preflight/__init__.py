"""Preflight: checks everything about a run that can be checked without a GPU, before one is requested."""
