"""The SelfAlignRun API, version v1alpha1, as pydantic models: spec, status and their field descriptions.

The CustomResourceDefinition is generated from these models (`schemas.crd`), so `kubectl explain`, the API server's
validation and `selfalign validate` cannot disagree. Field descriptions are user documentation: one to three full
sentences with meaning, unit, effect, and what an unset field means. A default is appended from the field itself.
"""

from selfalign_operator.api.run import SelfAlignRun

__all__ = ["SelfAlignRun"]
