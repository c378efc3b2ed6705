"""Steps of a run before anything is known but the manifest, and their keys once the leaves are known.

A key is the SHA-256 of canonical JSON over everything that the artifact depends on, so that the keys of a
whole run follow from its manifest and its leaf digests, and equal keys mean work that is done already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import SerializeAsAny

from selfalign_stages.contract.model import Model, canonical_json, sha256_hex
from selfalign_stages.contract.parameters import (
    AnswersParameters,
    GateParameters,
    ImageParameters,
    ImportParameters,
    InstructionsParameters,
    MergeParameters,
    PromptsParameters,
    PushParameters,
    QuestionsParameters,
    ScoreParameters,
    TopicsParameters,
    TrainParameters,
    VerboseAnswersParameters,
)

Kind = Literal[
    "import",
    "topics",
    "questions",
    "instructions",
    "prompts",
    "answers",
    "verbose-answers",
    "train",
    "merge",
    "score",
    "gate",
    "image",
    "push",
]
BASE_MODEL = "baseModel"
"""Leaf of the base model, and the input that a step reads its import under."""
PACK = "pack"
"""Leaf of a whole principle pack; the leaves of its parts begin with it."""
SUITE_PREFIX = "suite:"
"""Prefix of the leaves of evaluation suites, followed by the suite's name."""
GATE_STEP, IMAGE_STEP, PUSH_STEP = "evaluation-gate", "packaging-image", "packaging-push"
"""Ids of the steps that decide whether a run is complete."""
StageName = Literal["import", "redTeaming", "selfAlign", "engraving", "cloning", "evaluation", "packaging"]


@dataclass(frozen=True)
class KindInfo:
    """What is fixed about a step kind. `version` is raised when the output changes for equal inputs.

    `pack` is the leaf of the part of the principle pack that it reads: an edit elsewhere leaves its key alone.
    """

    version: int
    parameters: type[Model]
    seeded: bool
    needs: Literal["cpu", "gpu"]
    pack: str | None = None


KINDS: dict[Kind, KindInfo] = {
    "import": KindInfo(1, ImportParameters, seeded=False, needs="cpu"),
    "topics": KindInfo(1, TopicsParameters, seeded=True, needs="gpu", pack=f"{PACK}:queries"),
    "questions": KindInfo(1, QuestionsParameters, seeded=True, needs="gpu", pack=f"{PACK}:queries"),
    "instructions": KindInfo(1, InstructionsParameters, seeded=True, needs="gpu", pack=f"{PACK}:queries"),
    "prompts": KindInfo(1, PromptsParameters, seeded=True, needs="cpu", pack=f"{PACK}:queries"),
    "answers": KindInfo(1, AnswersParameters, seeded=True, needs="gpu", pack=f"{PACK}:rules"),
    "verbose-answers": KindInfo(1, VerboseAnswersParameters, seeded=True, needs="gpu", pack=f"{PACK}:verbose"),
    "train": KindInfo(1, TrainParameters, seeded=True, needs="gpu", pack=f"{PACK}:identity"),
    "merge": KindInfo(1, MergeParameters, seeded=False, needs="cpu"),
    "score": KindInfo(1, ScoreParameters, seeded=True, needs="gpu", pack=f"{PACK}:judging"),
    "gate": KindInfo(1, GateParameters, seeded=True, needs="cpu"),
    "image": KindInfo(1, ImageParameters, seeded=False, needs="cpu", pack=PACK),
    "push": KindInfo(1, PushParameters, seeded=False, needs="cpu"),
}


class Step(Model):
    """One node of a run's graph: `inputs` maps input names to step ids, `leaves` names leaf inputs."""

    id: str
    stage: StageName
    kind: Kind
    parameters: SerializeAsAny[Model] | dict[str, Any]
    inputs: dict[str, str] = {}
    leaves: tuple[str, ...] = ()

    def resolved(self) -> dict[str, Any]:
        """Parameters as JSON, defaults filled in."""
        if isinstance(self.parameters, dict):
            return KINDS[self.kind].parameters.model_validate(self.parameters).to_dict()
        return self.parameters.to_dict()


def keys(steps: Sequence[Step], *, leaves: Mapping[str, str], seed: int) -> dict[str, str]:
    """The key of every step; `steps` are in topological order, `leaves` maps leaf names to digests."""
    found: dict[str, str] = {}
    for step in steps:
        info = KINDS[step.kind]
        identity: dict[str, Any] = {
            "step": step.kind,
            "version": info.version,
            "parameters": step.resolved(),
            "inputs": {name: found[source] for name, source in step.inputs.items()},
            "leaves": {name: leaves[name] for name in step.leaves},
        }
        if info.seeded:
            identity["seed"] = seed
        found[step.id] = sha256_hex(canonical_json(identity))
    return found
