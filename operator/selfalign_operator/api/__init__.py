"""SelfAlignRun as pydantic models: the manifest that people write and the status that they read."""

from selfalign_operator.api.run import SelfAlignRun

__all__ = ["SelfAlignRun"]
