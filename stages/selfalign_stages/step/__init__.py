"""What a running step is given: its task, the store interface, a progress meter and the stop request."""
