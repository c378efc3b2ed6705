"""Stages 3 and 4, the training halves: principle engraving, the student of verbose cloning, and merging (section 3)."""
