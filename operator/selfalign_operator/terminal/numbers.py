"""Wording of numbers for people: durations, sizes, counts, and the progress of a step. Pure.

Bars and lines show the same facts, so their words are here and nowhere else.
"""

from collections.abc import Mapping

from selfalign_operator.api.status import StageStatus, StepProgress, StepStatus

REUSED = "reused from the store"
"""A stage or step whose artifact existed already (cache Hit)."""
MAX_REJECT_REASONS = 3
"""Reject reasons listed by name, so that a row of the stage table stays on one line."""


def duration(seconds: float | None) -> str:
    """Formats a duration with at most two units: 7.3s, 42s, 3m20s, 2h05m. None yields empty text."""
    if seconds is None:
        return ""
    # rounded first, so that 59.7 s is 1m00s and not 60s
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"


def size(count: float) -> str:
    """Formats bytes with a binary unit (IEC 80000-13), up to GiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def amount(value: float) -> str:
    """Formats a count or a rate: integers in full with separators, anything else to three significant digits."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def progress(progress: StepProgress, step: StepStatus | None = None) -> str:
    """Formats the progress of a running step: `3 of 12 files, 1.5/s, 6.0s left`.

    Args:
        progress: of the step.
        step: the step, for the losses of a training: `..., loss 0.32, validation loss 0.41`.
    """
    text = f"{amount(progress.done)} of {amount(progress.total)} {progress.unit}"
    text += f", {amount(progress.rate)}/s" if progress.rate else ""
    text += f", {duration(progress.eta)} left" if progress.eta is not None else ""
    return text + (_losses(step) if step is not None else "")


def outcome(finished: StepStatus | StageStatus) -> str:
    """Formats how long a succeeded step or stage took and how many rows it kept: `36s, 397 of 686 rows kept`."""
    if finished.cache == "Hit":
        return REUSED
    rows = f", {amount(finished.kept or 0)} of {amount(finished.rows)} rows kept" if finished.rows else ""
    losses = _losses(finished) if isinstance(finished, StepStatus) else ""
    return f"{duration(finished.seconds)}{rows}{losses}"


def _losses(step: StepStatus) -> str:
    values = {"loss": step.loss, "validation loss": step.validation_loss}
    return "".join(f", {name} {value:.3g}" for name, value in values.items() if value is not None)


def rejects(rejected: Mapping[str, int], *, most: int = MAX_REJECT_REASONS) -> str:
    """Lists reject reasons with their counts, most frequent first.

    Args:
        rejected: rejected rows by reason.
        most: how many reasons are named; the rest is summed up as "other".
    """
    # ties by name: equal counts must not change places between two redraws
    ordered = sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    listed = [f"{reason} {amount(count)}" for reason, count in ordered[:most]]
    rest = sum(count for _, count in ordered[most:])
    return ", ".join(listed + ([f"other {amount(rest)}"] if rest else []))
