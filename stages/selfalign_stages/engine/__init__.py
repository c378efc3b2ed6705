"""The two-method engine interface, its vLLM implementation, and the loop that feeds it chunk by chunk."""
