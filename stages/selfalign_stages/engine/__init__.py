"""The two-method interface to a language model, and its vLLM implementation."""
