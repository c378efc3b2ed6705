"""Decides, by pure functions alone, what a run needs next and what its status says."""
