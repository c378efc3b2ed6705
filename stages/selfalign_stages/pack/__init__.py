"""Principle packs, the human part of SELF-ALIGN: their schema, how they become prompts, and checks on both."""
