"""Principle packs: the human text of a run, its schema, its rendering into prompts, and its lint."""
