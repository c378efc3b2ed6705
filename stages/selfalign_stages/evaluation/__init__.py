"""Stage 5: scores of the base, prompted, engraved and cloned models on the evaluation suites, and the run's gates."""
