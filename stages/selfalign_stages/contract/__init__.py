"""What operator and stages agree on: pydantic models and pure functions, importable without torch or kopf."""
