"""The stages of SELF-ALIGN (arXiv 2305.03047): text logic, engines, tuning, evaluation, packaging."""
