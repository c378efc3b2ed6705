"""Step image: packs the chosen model as an OCI image layout in the store.

The image is data: weights under /models from scratch, one uncompressed layer per shard, small files last, so that it
mounts as an image volume or a modelcar. Layers, digests and bytes are the same whenever equal inputs are packed.
"""

from pathlib import Path
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import ImageParameters
from selfalign_stages.pack import parts
from selfalign_stages.packaging import card, layout, tar
from selfalign_stages.step.context import StepContext

ROOT = "models"
REFUSED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".py")


def run(context: StepContext) -> Manifest:
    """Publishes oci/: index.json, oci-layout and blobs. Metrics: image, digest, size."""
    settings = ImageParameters.model_validate(context.task.parameters)
    inputs = {name: reading.require_manifest(context.store, ref) for name, ref in context.task.inputs.items()}
    folder = reading.download(context.store, inputs["model"], context.scratch / "model")
    (folder / "README.md").write_text(_card(context, settings, inputs))
    heavy, light = contents(folder)
    context.progress.begin(len(heavy) + 1, unit="layers")
    layers = []
    for number, files in enumerate([*([path] for path in heavy), light]):
        context.check_stop()
        named = [(f"{ROOT}/{path.relative_to(folder).as_posix()}", path) for path in files]
        layers.append(tar.layer(named, context.scratch / f"layer-{number}"))
        context.progress.advance()
    reference = f"{settings.repository}:{settings.tag}"
    packed = layout.image(layers, labels=_labels(settings, inputs), reference=reference)
    return writing.publish(
        context,
        files=packed.files,
        metrics={"image": reference, "digest": packed.digest, "size": packed.size},
    )


def contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Weight shards in name order, and all other files; links, pickles and code are refused."""
    heavy: list[Path] = []
    light: list[Path] = []
    for path in sorted(p for p in folder.rglob("*") if not p.is_dir()):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or path.suffix in REFUSED:
            raise BadInput(
                f"packaging: {name} may not go into an image: no links, pickles or code", reason="FileRefused"
            )
        (heavy if path.suffix == ".safetensors" else light).append(path)
    if not heavy:
        raise BadInput(f"packaging: {folder.name} holds no safetensors weights", reason="NoWeights")
    return heavy, light


def _card(context: StepContext, settings: ImageParameters, inputs: dict[str, Manifest]) -> str:
    values: dict[str, Any] = {
        "name": settings.assistant_name,
        "variant": settings.variant,
        "license": settings.model_license,
        "pack": parts.read(context.task),
        "base": reading.read_json(context.store, inputs[BASE_MODEL], "source.json"),
        "report": reading.read_bytes(context.store, inputs["gate"], "report.md").decode(),
        "model_key": inputs["model"].key,
        "gate_key": inputs["gate"].key,
        "seed": inputs["gate"].seed,
    }
    return card.render(values)


def _labels(settings: ImageParameters, inputs: dict[str, Manifest]) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": settings.assistant_name,
        "org.opencontainers.image.licenses": settings.model_license,
        "dev.selfalign.variant": settings.variant,
        "dev.selfalign.model": inputs["model"].digest,
        "dev.selfalign.base-model": inputs[BASE_MODEL].digest,
        "dev.selfalign.evaluation": inputs["gate"].digest,
    }
