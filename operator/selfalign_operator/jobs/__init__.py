"""Builds the Job of one attempt at a step, or at preflight, by pure functions alone."""
