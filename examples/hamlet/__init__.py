"""The toy village of Hamlet: the text that the small built-in base model is trained on, its pack and its suites."""
