"""What people see."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from tests.operator.builders import World, run
from tests.operator.test_plan import world_at

from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.terminal import closing, numbers, progress_bars, report
from selfalign_operator.terminal.progress_lines import Lines
from selfalign_stages.contract.task import Progress, StoreLocation


def text(renderable: object) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0s"), (7.26, "7.3s"), (59.7, "1m00s"), (200, "3m20s"), (7500, "2h05m"), (None, "")]
)
def test_durations_are_short(seconds: float | None, told: str) -> None:
    assert numbers.duration(seconds) == told


def test_rejects_name_the_most_frequent_reasons_and_sum_the_rest() -> None:
    told = numbers.rejects({"a": 1, "b": 20, "c": 3, "d": 4, "e": 5})
    assert told == "b 20, e 5, d 4, other 4"


def test_sizes_have_binary_units() -> None:
    assert [numbers.size(count) for count in (12, 2048, 5 * 2**20, 3 * 2**30)] == [
        "12 B",
        "2.0 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]


def test_lines_tell_each_start_and_end_once() -> None:
    said: list[str] = []
    show = Lines(said.append, clock=lambda: 0.0).show
    world = World(run())
    current = world.act()
    while not current.finished:
        show(current.status)
        for id_ in world.running():
            world.end(id_)
        show(world.plan().status)
        current = world.act()
    assert said.count("import: started") == 0  # it had ended before anyone looked
    assert sum(line.startswith("import: done") for line in said) == 1
    assert len(said) == len(set(said))


def test_lines_stay_quiet_between_two_reports_of_progress() -> None:
    said: list[str] = []
    now = [0.0]
    show = Lines(said.append, clock=lambda: now[0]).show
    world = world_at()
    world.change("import", progress=Progress(done=3, total=12, unit="files", rate=1.5, eta=6))
    for second in range(40):
        now[0] = second
        show(world.plan().status)
    assert said == ["import: 3 of 12 files, 1.5/s, 6.0s left"] * 3


def test_bars_show_stages_and_what_runs() -> None:
    world = world_at()
    world.change("import", progress=Progress(done=3, total=12, unit="files", rate=1.5, eta=6))
    told = text(progress_bars.draw(world.plan().status))
    assert "3/12 files, 1.5/s, 6.0s left" in told
    assert all(stage in told for stage in ("redTeaming", "selfAlign", "engraving", "cloning", "evaluation"))


def test_the_tables_show_stages_steps_and_intervals() -> None:
    numbers_ = {"engraved.hhh.overall": 0.75, "engraved.hhh.overall.low": 0.7, "engraved.hhh.overall.high": 0.8}
    world = World(run(), metrics={"evaluation-gate": numbers_})
    out = io.StringIO()
    report.write(out, world.to_the_end().status)
    told = out.getvalue()
    assert "0.750 [0.700, 0.800]" in told and "score-cloned" in told
    assert max(len(line) for line in told.splitlines()) <= report.PLAIN_WIDTH


def test_success_tells_where_things_are_and_what_comes_next() -> None:
    status = World(run()).to_the_end().status
    told = "\n".join(closing.success(status, store=StoreLocation(uri="file:///w/store"), image_key="k" * 64))
    assert "localhost/trial:candidate@sha256:abc" in told
    assert "/w/store/cas/image/" in told and "crane push" in told


def test_an_image_that_was_pushed_is_told_by_digest_and_not_to_be_pushed_again() -> None:
    status = World(run()).to_the_end().status
    assert status.image is not None
    pushed = status.image.model_copy(update={"reference": "reg.test/ida@sha256:abc"})
    status = status.model_copy(update={"image": pushed})
    told = "\n".join(closing.success(status, store=StoreLocation(uri="file:///w/store"), image_key="k" * 64))
    assert "reg.test/ida@sha256:abc" in told and told.count("sha256:abc") == 1 and "crane push" not in told


def test_a_log_is_cut_to_its_last_useful_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    frames = 'Traceback (most recent call last):\n  File "x.py", line 1, in y\n    z()\n'
    log.write_text("".join(f"line {n}\n\n" for n in range(50)) + frames + "ValueError: what\n")
    told = closing.last_lines(log)
    assert len(told) == closing.LOG_LINES and told[-1] == "ValueError: what" and told[-2] == "line 49"


def test_preflight_has_no_line_of_its_own_among_the_stages() -> None:
    world = World(run())
    world.act()
    assert world.running() == [PREFLIGHT]
    assert "preflight" not in text(report.stages(world.plan().status.stages))
