"""The check before training: prompting must help, and the answers must be fit to train on."""

from pathlib import Path
from typing import Any

import pytest
from tests.steps_support import context

from selfalign_stages.artifacts import writing
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import CheckParameters
from selfalign_stages.evaluation import check

SETTINGS = CheckParameters(
    metrics=("limits.overall", "adherence.overall"),
    prompting_gain=0.02,
    kept_share=0.2,
    distinct_answers=0.3,
    refusal_share=0.7,
    loop_share=0.2,
    language_share=0.8,
)
SOUND = {"keptShare": 0.9, "distinctAnswers": 0.95, "refusalShare": 0.3, "loopShare": 0.01, "languageShare": 1.0}
BARE = {"limits.overall": 0.3, "adherence.overall": 0.2}
PROMPTED = {"limits.overall": 0.5, "adherence.overall": 0.2}


def checked(
    folder: Path,
    *,
    base: dict[str, Any] = BARE,
    prompted: dict[str, Any] = PROMPTED,
    settings: CheckParameters = SETTINGS,
    shares: dict[str, float] | None = None,
) -> Manifest:
    def published(name: str, metrics: dict[str, Any]) -> ArtifactRef:
        one = context(folder, "score", key=name * 64)
        return writing.publish(one, files={"x": b"{}"}, counts=Counts(rows=10, kept=9), metrics=metrics).ref

    inputs = {
        "base": published("1", base),
        "prompted": published("2", prompted),
        "answers": published("3", SOUND | (shares or {})),
    }
    return check.run(context(folder, "check", parameters=settings, inputs=inputs))


def test_a_base_that_prompting_helps_and_sound_answers_pass_with_all_figures(tmp_path: Path) -> None:
    assert checked(tmp_path).metrics == {"promptingGain": 0.1} | SOUND


def test_prompting_that_helps_less_than_the_margin_ends_the_run_with_the_figures_and_what_to_change(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadInput) as error:
        checked(tmp_path, prompted=BARE | {"limits.overall": 0.32})
    assert error.value.reason == "PromptingDoesNotHelp"
    for part in ("+0.010", "limits.overall 0.320 prompted, 0.300 bare", "promptingGain asks for +0.02", "starter"):
        assert part in str(error.value)


def test_a_gain_of_exactly_the_margin_passes(tmp_path: Path) -> None:
    # 0.34 - 0.3 is 0.04000000000000004, and half of it must count as 0.02
    assert checked(tmp_path, prompted=BARE | {"limits.overall": 0.34}).metrics["promptingGain"] == 0.02


def test_the_named_remedy_of_a_lower_margin_lets_the_run_go_on(tmp_path: Path) -> None:
    lower = SETTINGS.model_copy(update={"prompting_gain": -1.0})
    assert checked(tmp_path, prompted=BARE, settings=lower).metrics["promptingGain"] == 0.0


@pytest.mark.parametrize(
    ("metric", "value", "bound"),
    [
        ("keptShare", 0.1, "at least 0.2"),
        ("distinctAnswers", 0.05, "at least 0.3"),
        ("languageShare", 0.5, "at least 0.8"),
        ("refusalShare", 0.9, "at most 0.7"),
        ("loopShare", 0.4, "at most 0.2"),
    ],
)
def test_answers_outside_a_threshold_end_the_run_with_value_field_and_remedy(
    tmp_path: Path, metric: str, value: float, bound: str
) -> None:
    with pytest.raises(BadInput) as error:
        checked(tmp_path, shares={metric: value})
    assert error.value.reason == "YieldTooLow" and error.value.counts == Counts(rows=10, kept=9)
    assert f"{metric} is {value:.2f}, stages.selfAlign.requirements.{metric} asks for {bound}" in str(error.value)
    assert check.REMEDIES[metric] in str(error.value)
    assert str(error.value).count("asks for") == 1


def test_a_share_at_its_threshold_is_inside() -> None:
    edges = {"keptShare": 0.2, "distinctAnswers": 0.3, "languageShare": 0.8, "refusalShare": 0.7, "loopShare": 0.2}
    assert check.outside_thresholds(edges, SETTINGS) == []
