"""Carries out the plan's actions as processes on this machine, for `selfalign run`."""
