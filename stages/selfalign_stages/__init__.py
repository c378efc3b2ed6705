"""The stages of SELF-ALIGN (arXiv 2305.03047): text logic, engines, tuning, evaluation, packaging.

A stage process (`main`) computes one step of a run's graph and publishes its result as an artifact. It knows neither
the operator nor Kubernetes: the same process runs in a Job's pod and on a laptop.
"""
