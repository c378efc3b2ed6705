"""Display and closing lines of `selfalign run`: numbers, bars, lines, tables."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from tests.operator.builders import SimulatedRun, run, simulated_after

from selfalign_operator.api.status import EvaluationStatus, RunStatus, StageStatus, StepProgress, StepStatus
from selfalign_operator.planning import conditions
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.terminal import closing, numbers, progress_bars, report
from selfalign_operator.terminal.progress_lines import Lines, describe
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import Problem, Progress, StoreLocation


def text(renderable: object) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0s"), (7.26, "7.3s"), (59.7, "1m00s"), (200, "3m20s"), (7500, "2h05m"), (None, "")],
)
def test_durations_have_at_most_two_units(seconds: float | None, expected: str) -> None:
    assert numbers.duration(seconds) == expected


def test_rejects_name_the_most_frequent_reasons_and_sum_the_rest() -> None:
    assert numbers.rejects({"a": 1, "b": 20, "c": 3, "d": 4, "e": 5}) == "b 20, e 5, d 4, other 4"


def test_sizes_have_binary_units() -> None:
    assert [numbers.size(count) for count in (12, 2048, 5 * 2**20, 3 * 2**30)] == [
        "12 B",
        "2.0 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]


def test_lines_report_each_end_once_and_no_start_that_nobody_could_observe() -> None:
    lines: list[str] = []
    show = Lines(lines.append, clock=lambda: 0.0).show
    simulated = SimulatedRun(run())
    current = simulated.reconcile()
    while not current.finished:
        show(current.status)
        for id_ in simulated.running():
            simulated.end(id_)
        show(simulated.plan().status)
        current = simulated.reconcile()
    assert lines.count("import: started") == 0  # it had ended before the next status
    assert sum(line.startswith("import: done") for line in lines) == 1
    assert len(lines) == len(set(lines))


def test_lines_report_progress_at_intervals() -> None:
    lines: list[str] = []
    now = [0.0]
    show = Lines(lines.append, clock=lambda: now[0]).show
    simulated = simulated_after()
    simulated.change("import", progress=Progress(done=3, total=12, unit="files", rate=1.5, eta=6))
    for second in range(40):
        now[0] = second
        show(simulated.plan().status)
    assert lines == ["import: 3 of 12 files, 1.5/s, 6.0s left"] * 3


def test_bars_show_stages_and_running_steps() -> None:
    simulated = simulated_after()
    simulated.change("import", progress=Progress(done=3, total=12, unit="files", rate=1.5, eta=6))
    drawn = text(progress_bars.draw(simulated.plan().status))
    assert "3 of 12 files, 1.5/s, 6.0s left" in drawn
    assert all(stage in drawn for stage in ("redTeaming", "selfAlign", "engraving", "cloning", "evaluation"))


def test_the_tables_show_stages_steps_and_intervals() -> None:
    numbers_ = {"engraved.hhh.overall": 0.75, "engraved.hhh.overall.low": 0.7, "engraved.hhh.overall.high": 0.8}
    simulated = SimulatedRun(run(), metrics={"evaluation-gate": numbers_})
    out = io.StringIO()
    report.write(out, simulated.to_the_end().status)
    tables = out.getvalue()
    assert "0.750 [0.700, 0.800]" in tables and "score-cloned" in tables
    assert max(len(line) for line in tables.splitlines()) <= report.PLAIN_WIDTH


def test_success_names_image_layout_and_next_command() -> None:
    status = SimulatedRun(run()).to_the_end().status
    closing_text = "\n".join(closing.success(status, store=StoreLocation(uri="file:///w/store"), image_key="k" * 64))
    assert "localhost/trial:candidate@sha256:abc" in closing_text
    assert "/w/store/cas/image/" in closing_text and "crane push" in closing_text


def test_a_pushed_image_is_named_by_digest_without_a_push_command() -> None:
    status = SimulatedRun(run()).to_the_end().status
    assert status.image is not None
    pushed = status.image.model_copy(update={"reference": "reg.test/ida@sha256:abc"})
    status = status.model_copy(update={"image": pushed})
    closing_text = "\n".join(closing.success(status, store=StoreLocation(uri="file:///w/store"), image_key="k" * 64))
    assert "reg.test/ida@sha256:abc" in closing_text and closing_text.count("sha256:abc") == 1
    assert "crane push" not in closing_text


def test_a_log_is_shortened_to_its_last_useful_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    frames = 'Traceback (most recent call last):\n  File "x.py", line 1, in y\n    z()\n'
    log.write_text("".join(f"line {n}\n\n" for n in range(50)) + frames + "ValueError: what\n")
    lines = closing.last_lines(log)
    assert len(lines) == closing.LOG_LINES and lines[-1] == "ValueError: what" and lines[-2] == "line 49"


def test_preflight_is_no_row_of_the_stage_table() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    assert simulated.running() == [PREFLIGHT]
    assert "preflight" not in text(report.stages(simulated.plan().status.stages))


def test_bars_and_lines_describe_an_outcome_in_the_same_words() -> None:
    hit = StepStatus(name="import", kind="import", state="Succeeded", cache="Hit")
    kept = StepStatus(name="import", kind="import", state="Succeeded", cache="Miss", seconds=36, rows=686, kept=397)
    assert describe(hit) == numbers.outcome(hit) == numbers.REUSED
    assert describe(kept) == f"done in {numbers.outcome(kept)}" == "done in 36s, 397 of 686 rows kept"
    trained = kept.model_copy(update={"loss": 0.3141, "validation_loss": 0.5})
    assert describe(trained) == "done in 36s, 397 of 686 rows kept, loss 0.314, validation loss 0.5"
    progress = StepProgress(done=3, total=30, unit="optimizer steps")
    running = StepStatus(name="t", kind="train", state="Running", progress=progress, loss=1.25)
    assert describe(running) == "3 of 30 optimizer steps, loss 1.25"


def test_bars_and_lines_show_what_a_running_step_waits_for() -> None:
    message = "waits for run other (process 7 on desk), which makes the same artifact"
    step = StepStatus(name="import", kind="import", state="Running", message=message)
    stage = StageStatus(name="import", state="Running", steps=(step,))
    assert describe(step) == message
    assert message in text(progress_bars.draw(RunStatus(phase="Import", stages=(stage,))))


HOSTILE = "a[red]b[/]c\x1b[2J\u202ed\ne"
SHOWN = r"a[red]b[/]c\x1b[2J\u202ed\ne"


def hostile_status() -> RunStatus:
    """A status whose names, units, reasons and warnings a model or a file chose."""
    progress = StepProgress(done=3, total=12, unit=HOSTILE, rate=1)
    running = StepStatus(name=HOSTILE, kind="import", state="Running", progress=progress, rejected={HOSTILE: 7})
    stage = StageStatus(name="redTeaming", state="Running", steps=(running,))
    evaluation = EvaluationStatus(passed=True, metrics={f"base.{HOSTILE}.overall": 0.5})
    return RunStatus(phase="Running", progress=HOSTILE, stages=(stage,), warnings=(HOSTILE,), evaluation=evaluation)


def test_bars_show_names_as_they_are_and_carry_out_nothing() -> None:
    out = io.StringIO()
    with progress_bars.Bars(Console(file=out, width=200, force_terminal=True, color_system=None)) as bars:
        bars.print_line(HOSTILE)
        bars.show(hostile_status())
    shown = text(progress_bars.draw(hostile_status()))
    assert shown.count(SHOWN[:12]) >= 3
    assert f"warning: {SHOWN}" in out.getvalue()
    for character in ("\x1b[2J", "\u202e"):
        assert character not in out.getvalue() and character not in shown


def test_tables_show_names_as_they_are_and_carry_out_nothing() -> None:
    out = io.StringIO()
    report.write(out, hostile_status())
    # the columns break long names
    assert "[red]" in out.getvalue() and r"\x1b" in out.getvalue()
    assert "\x1b" not in out.getvalue() and "\u202e" not in out.getvalue()


def test_the_lines_of_a_log_lose_their_colours_and_their_excess(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * closing.LOG_BYTES + "\n\x1b[36mINFO\x1b[0m ready\n" + "y" * 10_000 + "\n")
    assert list(closing.last_lines(log))[-2:] == ["INFO ready", "y" * closing.LINE_CHARACTERS]


def test_each_problem_of_a_refused_run_is_a_line_below_its_reason() -> None:
    problems = (Problem(field="spec.seed", message="wrong"), Problem(field="spec.\nforged", message="wrong"))
    status = conditions.invalid_spec_status(1, RunStatus(), problems, datetime(2026, 1, 1, tzinfo=UTC))
    lines = closing.failure(status, exit_code=None, log=None)
    assert lines[:2] == ["InvalidSpec: spec.seed: wrong", r"  spec.\nforged: wrong"]


@pytest.mark.parametrize(
    ("exit_code", "remedy"),
    [
        (ExitCode.BAD_INPUT, "correct what is named above"),
        (ExitCode.ACCESS_DENIED, "give the access"),
        (ExitCode.UNAVAILABLE, "when the service responds"),
        (ExitCode.INPUT_LOST, "run the same command again: it makes what was lost anew"),
        (1, "see the log for the cause"),
        (None, closing.RERUN),
    ],
)
def test_a_failure_ends_with_a_remedy_for_its_exit_code(exit_code: int | None, remedy: str) -> None:
    simulated = simulated_after()
    simulated.end("import", ExitCode.BAD_INPUT)
    simulated.reconcile()
    simulated.reconcile()
    lines = closing.failure(simulated.run.status, exit_code=exit_code, log=None)
    assert lines[0].startswith("BadInput: ") and remedy in lines[-1]
