"""Base models: where they come from, what is refused, and their import into the store. Needs neither torch nor a GPU."""
