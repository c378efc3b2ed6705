"""Decisions about text that need no model: overlap, duplicates, loops, refusals, prompt filters. Pure functions."""
