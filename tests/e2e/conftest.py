"""One small whole run with its artifacts in S3, by the command that users give, shared by all end-to-end tests."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests import s3_server
from tests.scale import FULL

ROOT = Path(__file__).parents[2]
SAMPLE_KILLS = 3
SMALL = {
    "spec.stages.redTeaming.prompts": 120,
    "spec.stages.redTeaming.topicsPerType": 2,
    "spec.stages.redTeaming.questionsPerTopic": 3,
    "spec.stages.selfAlign.chunkSize": 24,
    "spec.stages.selfAlign.deterministic": True,
    "spec.stages.cloning.generation.chunkSize": 24,
    "spec.stages.cloning.generation.deterministic": True,
    "spec.stages.engraving.epochs": 4,
    "spec.stages.cloning.training.epochs": 4,
    "spec.stages.engraving.checkpointSteps": 2,
    "spec.stages.cloning.training.checkpointSteps": 2,
    "spec.stages.evaluation.gates": "[]",
    # HHH scores each item six times under the prompted base's long prefix: a minute in each of several runs
    "spec.stages.evaluation.suites": "[{name: truthfulqa, format: truthfulqa, uri: 'pack://truthfulqa'}, "
    "{name: adherence, format: adherence, uri: 'pack://adherence'}]",
}


@dataclass(frozen=True)
class Workdir:
    """A folder that runs keep their store in, or the settings and credentials of a store elsewhere.

    `kills` is how often a run was killed before it was left to end.
    """

    path: Path
    settings: dict[str, str] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    kills: int = 0

    def start(self, **changes: Any) -> "subprocess.Popen[str]":
        """Begins `selfalign run` on the quickstart, made small."""
        command = [sys.executable, "-m", "selfalign_operator", "run", str(ROOT / "examples" / "quickstart.yaml")]
        command += ["--workdir", str(self.path), "-o", "json"]
        for name, value in (SMALL | self.settings | changes).items():
            command += ["--set", f"{name}={value}"]
        packages = os.pathsep.join(str(ROOT / part) for part in ("operator", "stages"))
        environment = os.environ | self.credentials | {"PYTHONPATH": packages}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def run(self, **changes: Any) -> dict[str, Any]:
        """The status of a run that ends by itself, with Ready."""
        process = self.start(**changes)
        out, err = process.communicate()
        assert process.returncode == 0, f"{out[-3000:]}\n{err[-3000:]}"
        status: dict[str, Any] = json.loads(out)
        return status

    def killed(self, most: int) -> "Workdir":
        """The same after up to `most` runs were killed, each at a random moment of its first half minute."""
        random, kills = Random(20230504), 0
        while kills < most and self.kill_after(random.uniform(2, 32)):
            kills += 1
        return replace(self, kills=kills)

    def kill_after(self, seconds: float) -> bool:
        """Begins a run and kills it without warning; False if it ended before that."""
        process = self.start()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        return False


def steps(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Steps of a status by name."""
    return {step["name"]: step for stage in status["stages"] for step in stage["steps"]}


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    """A real S3 server with an empty bucket `runs`."""
    with s3_server.serve(tmp_path_factory.mktemp("s3") / "buckets") as server:
        server.make_bucket("runs")
        yield server


@pytest.fixture(scope="session")
def finished(bucket: s3_server.Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workdir, dict[str, Any]]:
    """The small run with its artifacts in S3: undisturbed, or in CI after three kills.

    CI has no time for both. Its run on the real node is disturbed in other ways, and the artifacts of the two must be
    the same; `make faults` compares each with an undisturbed run.
    """
    workdir = Workdir(
        tmp_path_factory.mktemp("finished"),
        settings={
            "spec.artifacts.uri": "s3://runs/team-a",
            "spec.artifacts.endpoint": bucket.endpoint,
            "spec.artifacts.addressingStyle": "path",
        },
        credentials={
            "AWS_ACCESS_KEY_ID": s3_server.ACCESS,
            "AWS_SECRET_ACCESS_KEY": s3_server.SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    )
    if not FULL:
        workdir = workdir.killed(SAMPLE_KILLS)
    return workdir, workdir.run()
