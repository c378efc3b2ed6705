"""Step image: packs the chosen model as an OCI image layout in the artifact store.

The image contains data only: the model's folder under /models. It mounts as a Kubernetes image volume (KEP-4639) or as
a KServe modelcar, and step `push` can put it on top of a server. Every shard of the weights is a layer of its own, so
that nodes pull shards in parallel and models that share shards share blobs; small files are the last layer, so that
a changed model card leaves the weights' layers untouched. Equal inputs give equal bytes.
"""

import json
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.base_model import selection
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import ImageParameters, Sampling
from selfalign_stages.pack import parts
from selfalign_stages.packaging import card, layout, tar
from selfalign_stages.step.context import StepContext

GENERATION_CONFIG = "generation_config.json"
MODEL_FOLDER = "models"
"""Folder of the model in the image. Serving commands name it, so it is part of the interface."""
REFUSED_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".py")
"""Pickles and code, which would run on whatever machine loads the model."""


def run(context: StepContext) -> Manifest:
    """Publishes oci/: index.json, oci-layout and blobs. Metrics: image (its tag), digest, size in bytes.

    Raises:
        BadInput: the model's folder contains links, pickles or code, or no weights.
        Interrupted: the step was stopped between two layers; a rerun starts over.
    """
    parameters = ImageParameters.model_validate(context.task.parameters)
    inputs = {name: reading.require_manifest(context.store, ref) for name, ref in context.task.inputs.items()}
    folder = reading.download(context.store, inputs["model"], context.scratch / "model")
    # The card replaces the base model's, which describes another model.
    (folder / "README.md").write_text(_card(context, parameters, inputs, documents=documents(folder)))
    write_sampling(folder / GENERATION_CONFIG, parameters.sampling)
    shards, small_files = contents(folder)
    context.progress.begin(len(shards) + 1, unit="layers")
    layers = []
    for number, paths in enumerate([*([shard] for shard in shards), small_files]):
        context.check_stop()
        files = [(f"{MODEL_FOLDER}/{path.relative_to(folder).as_posix()}", path) for path in paths]
        layers.append(tar.write_layer(files, context.scratch / f"layer-{number}"))
        context.progress.advance()
    reference = f"{parameters.repository}:{parameters.tag}"
    image = layout.build(layers, labels=_labels(parameters, inputs), reference=reference)
    return writing.publish(
        context,
        files=image.files,
        metrics={"image": reference, "digest": image.digest, "size": image.size},
    )


def write_sampling(path: Path, sampling: Sampling) -> None:
    """Adds the decoding that was evaluated to a generation config.

    Servers and transformers use it for clients that choose none; without it they sample at temperature 1, from a model
    whose scores were measured otherwise.

    Args:
        path: generation_config.json with the special tokens.
        sampling: of the answers to the evaluation's suites. Its max_tokens is no limit for clients.
    """
    config = json.loads(path.read_bytes()) if path.is_file() else {}
    if sampling.temperature == 0:
        # Greedy decoding in a form that both accept: transformers refuses a temperature of 0, and vLLM, which ignores
        # do_sample, would take its own default of 1.
        chosen: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 1}
    else:
        # transformers keeps the 50 most likely tokens unless told otherwise; 0 keeps all
        chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
        chosen |= {"top_k": sampling.top_k} | ({"min_p": sampling.min_p} if sampling.min_p else {})
    path.write_text(json.dumps(config | chosen, indent=2) + "\n")


def documents(folder: Path) -> list[str]:
    """Returns the names of the licence files in a model's folder, which came with the base model."""
    names = {path.name for path in folder.iterdir() if selection.is_document(path.name)}
    return sorted(name for name in names if name.upper() != selection.README.upper())  # the card takes its place


def contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the weight shards and all other files of a model's folder, both in path order.

    Raises:
        BadInput: a file may not go into an image, or there are no weights.
    """
    shards: list[Path] = []
    small_files: list[Path] = []
    # Sorted: the order of layers and of files in them is part of the digest.
    for path in sorted(entry for entry in folder.rglob("*") if not entry.is_dir()):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or path.suffix in REFUSED_SUFFIXES:
            raise BadInput(
                f"packaging: {name} may not go into an image: remove it; links, pickles and code are refused",
                reason="FileRefused",
            )
        (shards if path.suffix == ".safetensors" else small_files).append(path)
    if not shards:
        raise BadInput(f"packaging: {folder.name} has no *.safetensors weights", reason="NoWeights")
    return shards, small_files


def _card(
    context: StepContext, parameters: ImageParameters, inputs: dict[str, Manifest], *, documents: list[str]
) -> str:
    values: dict[str, Any] = {
        "name": parameters.assistant_name,
        "variant": parameters.variant,
        "license": parameters.model_license,
        "pack": parts.read(context.task),
        "base": reading.read_json(context.store, inputs[BASE_MODEL], "source.json"),
        "report": reading.read_bytes(context.store, inputs["gate"], "report.md").decode(),
        "model_key": inputs["model"].key,
        "gate_key": inputs["gate"].key,
        "seed": inputs["gate"].seed,
        "documents": documents,
        "sampling": parameters.sampling,
        "extra_rows": parameters.extra_rows,
        "thoughts": parameters.thoughts,
    }
    return card.render(values)


def _labels(parameters: ImageParameters, inputs: dict[str, Manifest]) -> dict[str, str]:
    """Returns annotations of the image-spec (annotations.md), and the digests from which the image was made."""
    return {
        "org.opencontainers.image.title": parameters.assistant_name,
        "org.opencontainers.image.licenses": parameters.model_license,
        "dev.selfalign.variant": parameters.variant,
        "dev.selfalign.model": inputs["model"].digest,
        "dev.selfalign.base-model": inputs[BASE_MODEL].digest,
        "dev.selfalign.evaluation": inputs["gate"].digest,
    }
