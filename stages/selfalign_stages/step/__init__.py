"""What a running step works with: its task, the store interface, a progress meter and the request to stop."""
