"""Stage 5: what the base, prompted, engraved and cloned models score on the suites, and whether the gates hold."""
