"""A whole run on a real base model, and a page of what came out. `make real` calls it; a stopped one continues.

    python -m tests.real.run --model gemma --seed 1 [--pack starter] [--set spec.stages....=VALUE]

The run is examples/small-base.yaml with the model's folder. All files are below ~/.cache/selfalign/real/runs; the page
is written to stdout and beside the store.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.real import bases, served

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.evaluation import suites
from selfalign_stages.evaluation.items import ItemScore
from selfalign_stages.pack.loading import load

ROOT = Path(__file__).parents[2]
MODELS = {"gemma": bases.gemma, "smollm2": bases.smollm2}
VARIANTS = ("base", "prompted", "engraved", "cloned")
METRICS = ("limitsKept", "plainAnswered", "overRefusal", "unreadable", "stops", "words")
SAMPLES = 20
"""Items whose answers are shown side by side."""


def main() -> int:
    """Runs, prints the page, and returns the exit code of the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="gemma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pack", default="starter")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    options = parser.parse_args()
    workdir = bases.CACHE / "runs" / f"{options.model}-{options.pack}-{options.seed}"
    settings = {
        "spec.baseModel.uri": MODELS[options.model]().as_uri(),
        "spec.principles.builtin": options.pack,
        "spec.seed": options.seed,
        # The example leaves cloning out; here it is measured as well.
        "spec.stages.cloning.enabled": "true",
        "spec.image.variant": "engraved",
    }
    changes = [f"{path}={value}" for path, value in settings.items()] + options.set
    code, status = run(workdir, changes)
    page = "\n".join([*_page(workdir, status), *_served(workdir, status, pack=options.pack)])
    (workdir / "page.md").write_text(page + "\n")
    sys.stdout.write(page + "\n")
    return code


def run(workdir: Path, changes: list[str]) -> tuple[int, dict[str, Any]]:
    """Runs the example with some fields changed; returns the exit code and the last status."""
    command = [sys.executable, "-m", "selfalign_operator", "run", str(ROOT / "examples" / "small-base.yaml")]
    command += ["--workdir", str(workdir), "-o", "json"]
    for change in changes:
        command += ["--set", change]
    packages = os.pathsep.join(str(ROOT / part) for part in ("operator", "stages"))
    environment = os.environ | {"PYTHONPATH": packages}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if not done.stdout.strip():  # refused, with a message on stderr
        sys.exit(done.returncode)
    return done.returncode, json.loads(done.stdout)


def _page(workdir: Path, status: Mapping[str, Any]) -> Iterator[str]:
    steps = [step for stage in status["stages"] for step in stage["steps"]]
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    yield f"Ready: {conditions['Ready']['status']}. {conditions['Ready'].get('message', '')}"
    yield from ("", "| step | seconds | rows | kept | rejected |", "| --- | ---: | ---: | ---: | --- |")
    for step in steps:
        rejected = ", ".join(f"{reason} {count}" for reason, count in (step.get("rejected") or {}).items())
        cells = (step["name"], round(step.get("seconds") or 0), step.get("rows", ""), step.get("kept", ""), rejected)
        yield "| " + " | ".join(map(str, cells)) + " |"
    scores = {variant: found for variant in VARIANTS if (found := _scores(workdir, steps, variant))}
    yield from ("", "| variant | " + " | ".join(METRICS) + " |", "| --- |" + " ---: |" * len(METRICS))
    for variant, items in scores.items():
        yield f"| {variant} | " + " | ".join(_mean(items, metric) for metric in METRICS) + " |"
    first = next(iter(scores.values()), {})
    for id_ in list(first)[:: max(1, len(first) // SAMPLES)][:SAMPLES]:
        yield from ("", f"### {id_}")
        for variant, items in scores.items():
            answer = " ".join((items[id_].answer or "").split())
            yield f"- {variant}: {answer}"


def _served(workdir: Path, status: Mapping[str, Any], *, pack: str) -> Iterator[str]:
    """Compares what the served image answers with the evaluation of the variant in it."""
    steps = [step for stage in status["stages"] for step in stage["steps"]]
    image = next((step for step in steps if step["name"] == "packaging-image" and step["state"] == "Succeeded"), None)
    if image is None:
        return
    scores = _scores(workdir, steps, "engraved")
    chosen = list(scores.values())[:: max(1, len(scores) // SAMPLES)][:SAMPLES]
    loaded = load(f"builtin://{pack}")
    prompts = {item.id: item.prompt for item in suites.parse_limits(suites.read_texts("pack://limits", loaded))}
    layout = workdir / "store" / "cas" / "image" / image["key"] / "oci"
    answers = served.ask(layout, chosen, prompts=prompts, assistant_name="Juniper", max_tokens=96)
    yield from (
        "",
        f"Served, to the OpenAI client: {answers.equal_ids} of {len(chosen)} prompts have the evaluation's token ids,",
    )
    yield f"{answers.equal_answers} of {len(chosen)} greedy answers are the evaluation's."
    yield from ("", "### Two turns", "", "| request | answer | follow-up | answer |", "| --- | --- | --- | --- |")
    for texts in answers.conversations:
        yield f"| {' | '.join(' '.join(text.split()) for text in texts)} |"


def _scores(workdir: Path, steps: list[dict[str, Any]], variant: str) -> dict[str, ItemScore]:
    """The scores of one variant by item; empty if its step has not succeeded."""
    step = next((step for step in steps if step["name"] == f"evaluation-score-{variant}"), None)
    if step is None or step["state"] != "Succeeded":
        return {}
    store = FileStore(workdir / "store")
    manifest = reading.require_manifest(store, ArtifactRef(kind="score", key=step["key"]))
    return {score.id: score for score in reading.rows(store, manifest, ItemScore)}


def _mean(items: Mapping[str, ItemScore], metric: str) -> str:
    values = [score.values[metric] for score in items.values() if metric in score.values]
    return f"{sum(values) / len(values):.2f} of {len(values)}" if values else "-"


if __name__ == "__main__":
    sys.exit(main())
