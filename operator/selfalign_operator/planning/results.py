"""Which artifacts of a run are known to exist, from everything that can show it. Pure.

Jobs are deleted, preflight searches the store once, and a status describes the past: each source alone forgets what
another remembers. They are asked in a fixed order, and none is believed against a newer report of a loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import losses, recorded
from selfalign_operator.planning.losses import Loss
from selfalign_operator.planning.observation import Attempt
from selfalign_operator.planning.retries import Verdict
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.task import PreflightResult, Result


@dataclass(frozen=True)
class Evidence:
    """What is known beside the verdicts.

    Attributes:
        status: the previous status, which records the results of removed Jobs.
        preflight: the verdict on preflight for the current key.
        preflight_result: its result. Only an observed one has hits: the status records none.
        newest: the newest attempt by step id, for the step's current key.
        lost: reported losses by the id of the step that makes the artifact.
    """

    status: RunStatus
    preflight: Verdict
    preflight_result: PreflightResult | None
    newest: Mapping[str, Attempt]
    lost: Mapping[str, Loss]

    def result(self, id_: str, key: str | None, verdict: Verdict) -> Result | None:
        """Returns a step's result: of an attempt, else of the store (a hit of preflight), else the recorded one.

        Args:
            id_: the step.
            key: key of its artifact; None while it is unknown.
            verdict: the verdict on its attempts, without those that a loss refutes.

        Returns:
            The result, None if nothing shows that the artifact exists.
        """
        published = verdict.last.result if verdict.state == "done" and verdict.last is not None else None
        if key is not None and isinstance(published, Result):
            return published
        known = (self._hit(id_), self._recorded(id_))
        return next((result for result in known if result is not None and result.key == key), None)

    def _hit(self, id_: str) -> Result | None:
        hits = self.preflight_result.hits if self.preflight_result is not None else {}
        counts = losses.hit_counts(self.preflight.last, newest=self.newest.get(id_), loss=self.lost.get(id_))
        return hits.get(id_) if counts else None

    def _recorded(self, id_: str) -> Result | None:
        step = self.status.steps.get(id_)
        if step is None or not losses.record_counts(step, newest=self.newest.get(id_), loss=self.lost.get(id_)):
            return None
        return recorded.step_result(self.status, step)


def waits_for(
    step: Step, verdict: Verdict, step_keys: Mapping[str, str], results: Mapping[str, Result | None]
) -> str | None:
    """Returns the id of the step that makes a lost input of another step anew.

    Args:
        step: the step that reads the input.
        verdict: the verdict on its attempts.
        step_keys: key of the artifact by step id.
        results: result by step id.

    Returns:
        None if no input was lost, or the lost one exists again, or the step is not to be retried.
    """
    cause = verdict.retry_cause
    if cause is None or cause.lost is None or verdict.state not in ("waiting", "retry"):
        return None
    unfinished = (source for source in step.inputs.values() if results[source] is None)
    return next((source for source in unfinished if step_keys.get(source) == cause.lost), None)
