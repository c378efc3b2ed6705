"""Stage 0: where base models come from, what makes one unfit, and its import into the store."""
