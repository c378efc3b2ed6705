"""Settings of stage 5: suites that score the variants, and gates that guard what ships."""

from typing import Annotated

from pydantic import Field

from selfalign_operator.api.resources import Placement
from selfalign_operator.api.sampling import EvaluationSampling
from selfalign_operator.api.validation import map_by
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import SuiteFormat


class Suite(Model):
    """Evaluation suite. Its content, not its address, enters the keys of the steps that read it.

    Public suites are read in the file format that they are published in, so that scores can be compared.
    """

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=40,
        description="Name of the suite in gates, metrics and reports, unique within the run.",
    )
    format: SuiteFormat = Field(
        description="File format and scoring method. hhh: BIG-bench hhh_alignment JSON, choice between two answers; "
        "truthfulqa: its CSV or JSON, multiple choice; adherence: JSON lines, prompts with patterns that an answer "
        "must match or avoid; limits: JSON lines, prompts that call for a limit and others that call for plain help."
    )
    uri: str = Field(
        pattern=r"^(pack|file|s3)://.+",
        max_length=1024,
        description="Address of the suite: pack://NAME for one in the principle pack, or file://PATH, which must exist "
        "in the pods. This release cannot read s3:// and reports it in preflight.",
    )


_PAPER_SUITES = (
    Suite(name="hhh", format="hhh", uri="pack://hhh"),
    Suite(name="truthfulqa", format="truthfulqa", uri="pack://truthfulqa"),
    Suite(name="adherence", format="adherence", uri="pack://adherence"),
)
BUILTIN_SUITES: dict[str, tuple[Suite, ...]] = {
    "dromedary-16": _PAPER_SUITES,
    "hamlet": _PAPER_SUITES,
    "starter": (Suite(name="limits", format="limits", uri="pack://limits"),),
}
"""Suites that each built-in principle pack ships, by its name. The operator cannot read packs; a test compares."""
Gate = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        description='Comparison of sums of VARIANT.SUITE.METRIC and numbers, such as "cloned.hhh.overall >= '
        'base.hhh.overall + 0.05". Operators: + - * and >= <= > <.',
    ),
]


class Evaluation(Placement):
    """Stage 5: scores every model variant on the suites and checks the gates. A failed gate prevents packaging.

    Variants are base, prompted (the base with principles and exemplars in context), engraved and cloned.
    """

    suites: (
        Annotated[tuple[Suite, ...], Field(min_length=1, max_length=16, json_schema_extra=map_by("name"))] | None
    ) = Field(
        default=None,
        description="Suites that every variant (base, prompted, engraved, cloned) is scored on. Unset: those that the "
        "built-in principle pack ships (dromedary-16 and hamlet: hhh, truthfulqa and adherence; starter: limits). A "
        "pack of your own needs the list.",
    )
    gates: tuple[Gate, ...] = Field(
        default=(),
        max_length=32,
        description="Conditions that must all hold before the image is packed. A failed one ends the run with reason "
        "GateFailed; the report is published. Empty: every result passes.",
    )
    bootstrap_samples: int = Field(
        default=2000,
        ge=100,
        le=1_000_000,
        description="Bootstrap resamples over a suite's items behind each confidence interval.",
    )
    confidence: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="Confidence level of the bootstrap intervals of all metrics. Gates compare means and ignore it.",
    )
    sampling: EvaluationSampling = Field(
        default=EvaluationSampling(),
        description="Decoding of the answers to adherence and limits suites. The other formats score answers that the "
        "suite has.",
    )
