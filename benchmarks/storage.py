"""Transfers to and from S3 beside s5cmd and boto3, and the memory that large artifacts take.

    python benchmarks/storage.py [--rounds 5] [--objects 1000] [--shards 4] [--shard-mib 512] [--memory-gib 2]

One server (versitygw) on this machine serves all contenders. Ours publishes an artifact and downloads it again, which
computes and compares a SHA-256 of every byte; the others only copy. Rounds are interleaved. Prints the median rate with
the range, and the ratio of ours to each peer. Then imports, packs, pushes and downloads a model of --memory-gib, each
in a process of its own, and prints the most memory that each took.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import go_modules, registry_server, s3_server
from tests.stages.base_model import folders
from tests.tools import built_once

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import ImageParameters, ImportParameters, PushParameters, Sampling
from selfalign_stages.contract.task import Leaf, StoreLocation, Task
from selfalign_stages.step.context import StepContext

S5CMD, S5CMD_VERSION = "github.com/peak/s5cmd/v2", "v2.3.0"
KEYS: dict[Kind, str] = {"import": "1" * 64, "merge": "2" * 64, "gate": "3" * 64, "image": "4" * 64, "push": "5" * 64}
PEAK = """
import resource, sys
from selfalign_stages import main
code = main.main()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
sys.exit(code)
"""
"""A stage process that prints its peak resident memory in MiB."""
DOWNLOAD = """
import resource, sys
from pathlib import Path
from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.task import StoreLocation
store = open_store(StoreLocation.model_validate_json(sys.argv[1]))
manifest = reading.require_manifest(store, ArtifactRef(kind="import", key=sys.argv[2]))
reading.download(store, manifest, Path(sys.argv[3]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""
"""The same for a process that downloads an import, as the steps before the engine loads a model do."""
Contender = dict[str, Callable[[Path, str], None]]


def ours(location: StoreLocation) -> Contender:
    """Publishes a folder as an artifact, and downloads it."""

    def context(name: str) -> StepContext:
        task = Task(id="bench", kind="merge", key=name, seed=1, store=location, parameters={})
        return StepContext(task=task, store=open_store(location), scratch=Path(tempfile.gettempdir()))

    def up(folder: Path, name: str) -> None:
        writing.publish(context(name), files={path.name: path for path in folder.iterdir()})

    def down(folder: Path, name: str) -> None:
        store = open_store(location)
        reading.download(store, reading.require_manifest(store, ArtifactRef(kind="merge", key=name)), folder)

    return {"up": up, "down": down}


def s5cmd(location: StoreLocation) -> Contender:
    """Copies a folder with s5cmd, as it comes."""

    def install(folder: Path) -> Path:
        program = folder / "s5cmd"
        go_modules.build(folder / "module", f"{S5CMD}@{S5CMD_VERSION}", packages=[S5CMD], output=str(program))
        return program

    command = [
        str(built_once(f"s5cmd-{S5CMD_VERSION}", install)),
        "--endpoint-url",
        str(location.endpoint),
        "--log",
        "error",
        "cp",
    ]

    def run(source: str, target: str) -> None:
        subprocess.run([*command, source, target], check=True, env=os.environ | {"AWS_REGION": "us-east-1"})

    return {
        "up": lambda folder, name: run(f"{folder}/", f"{location.uri}/s5/{name}/"),
        "down": lambda folder, name: run(f"{location.uri}/s5/{name}/*", f"{folder}/"),
    }


def boto3_alone(location: StoreLocation) -> Contender:
    """Copies one file after the other with boto3's own transfer, which sends the parts of a file in parallel."""
    import boto3

    client = boto3.client("s3", endpoint_url=location.endpoint, region_name="us-east-1")
    bucket, _, prefix = location.uri.removeprefix("s3://").partition("/")

    def up(folder: Path, name: str) -> None:
        for path in folder.iterdir():
            client.upload_file(str(path), bucket, f"{prefix}/boto3/{name}/{path.name}")

    def down(folder: Path, name: str) -> None:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/boto3/{name}/"):
            for entry in page["Contents"]:
                client.download_file(bucket, entry["Key"], str(folder / entry["Key"].rpartition("/")[2]))

    return {"up": up, "down": down}


def transfers(location: StoreLocation, source: Path, *, rounds: int, title: str) -> None:
    """Runs all contenders in turns on one folder."""
    contenders = {"ours": ours(location), "s5cmd": s5cmd(location), "boto3": boto3_alone(location)}
    size, count = sum(path.stat().st_size for path in source.iterdir()), len(list(source.iterdir()))
    took: dict[tuple[str, str], list[float]] = {(way, name): [] for way in ("up", "down") for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            for way in ("up", "down"):
                target = source.parent / "target"
                shutil.rmtree(target, ignore_errors=True)
                target.mkdir()
                key = f"{title}-{number}".replace(" ", "").ljust(64, "0")
                started = time.monotonic()
                contender[way](source if way == "up" else target, key)
                took[way, name].append(time.monotonic() - started)
            copied = {path.name: path.stat().st_size for path in target.iterdir() if path.name != "manifest.json"}
            assert copied == {path.name: path.stat().st_size for path in source.iterdir()}, f"{name} lost something"
    for (way, name), seconds in took.items():
        rates = sorted(size / (1 << 20) / second for second in seconds)
        ratio = statistics.median(took[way, name]) / statistics.median(took[way, "ours"])
        sys.stdout.write(
            f"{title:18} {way:4} {name:5} {statistics.median(rates):7.1f} MiB/s ({rates[0]:.1f} to {rates[-1]:.1f}), "
            f"{count / statistics.median(seconds):7.0f} objects/s, ours is {ratio:.2f} times as fast\n"
        )


def memory(location: StoreLocation, registry: str, folder: Path, gib: float) -> None:
    """Prints the peak memory of the steps that move weights."""
    files = folders.contents()
    model = folders.write(folder / "model", files)
    width = int(gib * (1 << 28))
    header = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [width], "data_offsets": [0, 4 * width]}}).encode()
    with (model / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 4 * width)
    steps: list[tuple[Kind, Model, dict[str, Kind], dict[str, Leaf]]] = [
        ("import", ImportParameters(), {}, {"baseModel": Leaf(uri=model.as_uri())}),
        (
            "image",
            ImageParameters(
                assistant_name="Ida",
                repository=f"{registry}/ida",
                tag="1",
                variant="cloned",
                model_license="MIT",
                sampling=Sampling(),
            ),
            {"model": "import", "gate": "gate", "baseModel": "import"},
            {"pack": Leaf(uri="builtin://hamlet")},
        ),
        (
            "push",
            PushParameters(
                repository=f"{registry}/ida", tag="1", formats=("modelcar",), served_name="ida", plain_http=True
            ),
            {"image": "image"},
            {},
        ),
    ]
    gate = Task(id="gate", kind="gate", key=KEYS["gate"], seed=1, store=location, parameters={})
    writing.publish(StepContext(gate, open_store(location), folder), files={"report.md": b"| metric | base |\n"})
    for kind, parameters, inputs, leaves in steps:
        task = Task(
            id=kind,
            kind=kind,
            key=KEYS[kind],
            seed=1,
            store=location,
            parameters=parameters.to_dict(),
            inputs={name: ArtifactRef(kind=source, key=KEYS[source]) for name, source in inputs.items()},
            leaves=leaves,
        )
        (folder / "task.json").write_text(task.model_dump_json(by_alias=True, exclude_none=True))
        (folder / "scratch").mkdir(exist_ok=True)
        arguments = [kind, "--task", str(folder / "task.json"), "--scratch", str(folder / "scratch")]
        _print_peak(kind, gib, [PEAK, *arguments])
    _print_peak(
        "download", gib, [DOWNLOAD, location.model_dump_json(by_alias=True), KEYS["import"], str(folder / "down")]
    )


def _print_peak(name: str, gib: float, command: list[str]) -> None:
    """Runs Python code with arguments; the last line that it prints is its peak memory in MiB."""
    done = subprocess.run([sys.executable, "-c", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    sys.stdout.write(f"{name:8} of {gib} GiB: {done.stdout.strip().splitlines()[-1]} MiB at most\n")


def main() -> None:
    """Runs the transfers, then the memory measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--shard-mib", type=int, default=512)
    parser.add_argument("--memory-gib", type=float, default=2)
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": s3_server.ACCESS, "AWS_SECRET_ACCESS_KEY": s3_server.SECRET}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            s3_server.serve(folder / "s3" / "root") as server,
            registry_server.serve(folder / "registry" / "root") as registry,
        ):
            bucket = server.make_bucket("bench")
            location = StoreLocation(
                uri=f"s3://{bucket}/x", endpoint=server.endpoint, region="us-east-1", addressing_style="path"
            )
            if options.objects:
                small, large = folder / "small" / "source", folder / "large" / "source"
                small.mkdir(parents=True)
                large.mkdir(parents=True)
                for number in range(options.objects):
                    (small / f"part-{number:05d}").write_bytes(os.urandom(64 << 10))
                for number in range(options.shards):
                    (large / f"shard-{number}").write_bytes(os.urandom(options.shard_mib << 20))
                transfers(location, small, rounds=options.rounds, title="64 KiB objects")
                transfers(location, large, rounds=options.rounds, title=f"{options.shard_mib} MiB shards")
            memory(location, registry.host, folder, options.memory_gib)


if __name__ == "__main__":
    main()
