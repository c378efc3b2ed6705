"""The contract between operator and stages: pydantic models and pure functions.

Both sides import it, so it depends on pydantic and PyYAML alone (an import-linter contract): an operator without torch
and a stage image without kopf must be able to load it.
"""
