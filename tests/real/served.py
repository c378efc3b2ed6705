"""Whether the image of a real run answers the OpenAI client as its evaluation did. `make real` calls it at the end.

The layers of the image are unpacked and served by vLLM's own OpenAI server, as a platform team would. For some items of
the suite the prompt's token ids by the server's /tokenize, and the answer of a greedy chat, are compared with those of
the evaluation of the shipped variant.
"""

import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openai import OpenAI

from selfalign_stages import chat
from selfalign_stages.evaluation.items import ItemScore
from selfalign_stages.tuning import models

NAME = "shipped"
START_SECONDS = 300


def unpack(layout: Path, folder: Path) -> Path:
    """Unpacks the layers of the one image of an OCI layout; returns the model's folder."""
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]

    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    for layer in json.loads(blob(entry["digest"]).read_text())["layers"]:
        with tarfile.open(blob(layer["digest"])) as archive:
            archive.extractall(folder, filter="data")
    return folder / "models"


@contextmanager
def server(model: Path) -> Iterator[str]:
    """Serves a model folder on this machine; yields the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += ["--served-model-name", NAME, "--max-model-len", "1024", "--host", "127.0.0.1"]
    # The evaluation's arithmetic: float32 where cores lack bfloat16.
    command += ["--dtype", "auto" if "bf16" in Path("/proc/cpuinfo").read_text() else "float32", "--enforce-eager"]
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | quiet)
        try:
            _wait(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    raise SystemExit("vLLM's server did not start")


def compare(
    layout: Path, scores: Sequence[ItemScore], *, prompts: Mapping[str, str], assistant_name: str, max_tokens: int
) -> tuple[int, int]:
    """Asks the served image for the answers of an evaluation.

    Args:
        layout: OCI layout of the image.
        scores: what the evaluation recorded of the shipped variant, greedy.
        prompts: text of the items by id.
        assistant_name: of the run.
        max_tokens: of the evaluation's answers.

    Returns:
        Number of prompts with equal token ids, and of equal answers.
    """
    equal_ids = equal_answers = 0
    with tempfile.TemporaryDirectory() as place:
        model = unpack(layout, Path(place))
        tokenizer = models.load_tokenizer(model)
        with server(model) as address:
            client = OpenAI(base_url=f"{address}/v1", api_key="none")
            for score in scores:
                text = prompts[score.id]
                messages: list[Any] = [{"role": "user", "content": text}]
                evaluated = tokenizer(chat.question(text, assistant_name=assistant_name))["input_ids"]
                equal_ids += _tokenize(address, messages) == evaluated
                answer = client.chat.completions.create(
                    model=NAME, messages=messages, temperature=0, max_tokens=max_tokens
                )
                equal_answers += (answer.choices[0].message.content or "").strip() == (score.answer or "").strip()
    return equal_ids, equal_answers


def _tokenize(address: str, messages: list[Any]) -> list[int]:
    body = json.dumps({"model": NAME, "messages": messages, "add_generation_prompt": True}).encode()
    request = urllib.request.Request(f"{address}/tokenize", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        found: list[int] = json.load(response)["tokens"]
    return found
