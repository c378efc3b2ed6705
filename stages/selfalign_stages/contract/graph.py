"""The graph of a run's steps, and the keys of its artifacts.

Keys work as in an input-addressed build system such as Nix: the key of an artifact is a hash of what it is built from,
not of its content. It covers the step's kind and version, its resolved parameters, the keys of the artifacts that it
reads, the digests of what it reads from outside the store (leaves), the seed where the step draws random numbers, and a
nonce where somebody asked for the step to be made anew.
Equal keys mean that the work is done already, whichever run did it.

Hashing inputs has two consequences. All keys of a run follow from its manifest and its leaf digests before anything
runs, so that preflight finds every finished step in one pass. And an engine whose last bits depend on batch composition
still hits the cache, which keys over outputs would not. The price is that an input that is rebuilt with equal bytes
under a new key rebuilds what depends on it (no early cutoff).

Whatever does not change the output stays out of the key: placement, resources, number of workers, names of steps, and
what a step only waits for (`Step.after`): an edited threshold of a check must not train the same rows again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, SerializeAsAny

from selfalign_stages.contract.model import Model, canonical_json, sha256_hex
from selfalign_stages.contract.parameters import (
    AnswersParameters,
    CheckParameters,
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
    "check",
    "verbose-answers",
    "train",
    "merge",
    "score",
    "gate",
    "image",
    "push",
]
BASE_MODEL = "baseModel"
"""Leaf of the base model, and the name of the input under which later steps read the imported copy."""
PACK = "pack"
"""Leaf of a whole principle pack; the leaves of its parts begin with it."""
PROMPT_SOURCE_PREFIX = "promptSource:"
"""Start of the leaf names of files with prompts of one's own; their position in the manifest's list follows."""
SUITE_PREFIX = "suite:"
"""Prefix of the leaves of evaluation suites, followed by the suite's name."""
EXTRA_ROWS_PREFIX = "extraRows:"
"""Start of the leaf names of files with training rows of one's own; stage and position in its list follow."""
CHECK_STEP = "selfalign-check"
"""Id of the step that ends a run before training if prompting does not help, or the answers are not fit to train on."""
GATE_STEP, IMAGE_STEP, PUSH_STEP = "evaluation-gate", "packaging-image", "packaging-push"
"""Ids of the steps that decide whether a run is complete."""
StageName = Literal["import", "redTeaming", "selfAlign", "engraving", "cloning", "evaluation", "packaging"]


@dataclass(frozen=True)
class KindInfo:
    """What is fixed about a step kind.

    Attributes:
        version: part of the key. Raise it when the output changes for equal inputs: artifacts of older versions are
            then computed anew instead of being reused.
        parameters: model of the step's resolved parameters.
        seeded: whether the output depends on spec.seed, which is part of the key only then.
        needs: the kind of node that the step runs on unless the run places it otherwise.
        pack: leaf of the part of the principle pack that the step reads, None if it reads none. Parts have digests of
            their own, so that an edit elsewhere in the pack does not change the step's key.
    """

    version: int
    parameters: type[Model]
    seeded: bool
    needs: Literal["cpu", "gpu"]
    pack: str | None = None


# Changing a version, a parameter's name or its default changes keys, and with them every artifact that depends on it.
KINDS: dict[Kind, KindInfo] = {
    "import": KindInfo(1, ImportParameters, seeded=False, needs="cpu"),
    "topics": KindInfo(4, TopicsParameters, seeded=True, needs="gpu", pack=f"{PACK}:queries"),
    "questions": KindInfo(4, QuestionsParameters, seeded=True, needs="gpu", pack=f"{PACK}:queries"),
    "instructions": KindInfo(4, InstructionsParameters, seeded=True, needs="gpu", pack=f"{PACK}:queries"),
    "prompts": KindInfo(4, PromptsParameters, seeded=True, needs="cpu", pack=f"{PACK}:queries"),
    "answers": KindInfo(5, AnswersParameters, seeded=True, needs="gpu", pack=f"{PACK}:rules"),
    "check": KindInfo(1, CheckParameters, seeded=False, needs="cpu"),
    "verbose-answers": KindInfo(4, VerboseAnswersParameters, seeded=True, needs="gpu", pack=f"{PACK}:verbose"),
    "train": KindInfo(2, TrainParameters, seeded=True, needs="gpu", pack=f"{PACK}:identity"),
    "merge": KindInfo(2, MergeParameters, seeded=False, needs="cpu"),
    "score": KindInfo(4, ScoreParameters, seeded=True, needs="gpu", pack=f"{PACK}:judging"),
    "gate": KindInfo(1, GateParameters, seeded=True, needs="cpu"),
    "image": KindInfo(2, ImageParameters, seeded=False, needs="cpu", pack=PACK),
    "push": KindInfo(1, PushParameters, seeded=False, needs="cpu"),
}


class Step(Model):
    """One node of a run's graph."""

    id: str = Field(description="unique within the run; not part of the key")
    stage: StageName
    kind: Kind
    parameters: SerializeAsAny[Model] | dict[str, Any] = Field(
        description="the kind's parameters; a dict where the step was read from JSON"
    )
    inputs: dict[str, str] = Field(default={}, description="id of the step whose artifact is read, by input name")
    after: tuple[str, ...] = Field(
        default=(), description="ids of steps that must have succeeded before, none of whose artifacts is read"
    )
    leaves: tuple[str, ...] = Field(default=(), description="names of the inputs from outside the store")
    nonce: str | None = Field(
        default=None, description="part of the key of a step that is made again with equal inputs; none: it is not"
    )

    def resolved(self) -> dict[str, Any]:
        """Parameters as JSON with all defaults filled in: what enters the key and the task file."""
        if isinstance(self.parameters, dict):
            return KINDS[self.kind].parameters.model_validate(self.parameters).to_dict()
        return self.parameters.to_dict()


def keys(steps: Sequence[Step], *, leaves: Mapping[str, str], seed: int) -> dict[str, str]:
    """Computes the key of every step.

    For example, the key of step `redteaming-topics` is the SHA-256 of this object in canonical JSON:

        {"step": "topics", "version": 1,
         "parameters": {"topicsPerType": 10, "rounds": 1, ...},
         "inputs": {"baseModel": "<key of step import>"},
         "leaves": {"pack:queries": "sha256:..."},
         "seed": 42}

    Through `inputs` it depends on the base model's digest, which is a leaf of step `import`, but on no other step.

    Args:
        steps: in topological order.
        leaves: content digest (`sha256:...`) by leaf name, at least of the leaves that `steps` name.
        seed: spec.seed.

    Returns:
        Key (64 hexadecimal digits) by step id.
    """
    keys_by_id: dict[str, str] = {}
    for step in steps:
        info = KINDS[step.kind]
        identity: dict[str, Any] = {
            "step": step.kind,
            "version": info.version,
            "parameters": step.resolved(),
            "inputs": {name: keys_by_id[source] for name, source in step.inputs.items()},
            "leaves": {name: leaves[name] for name in step.leaves},
        }
        # Steps without random draws leave the seed out, so that runs which differ in it share the import, for one.
        if info.seeded:
            identity["seed"] = seed
        if step.nonce is not None:
            identity["nonce"] = step.nonce
        keys_by_id[step.id] = sha256_hex(canonical_json(identity))
    return keys_by_id
