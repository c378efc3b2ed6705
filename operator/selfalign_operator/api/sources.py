"""Inputs from outside the run and the store of its artifacts: base model, principle pack, object storage.

Manifests are kept in Git, so credentials appear as references to Secrets only. Stage pods mount these themselves; the
operator has no right to read any.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from selfalign_operator.api.validation import cel
from selfalign_operator.api.values import ObjectName
from selfalign_stages.contract import rules
from selfalign_stages.contract.model import Model


class ObjectRef(Model):
    """Reference to a Secret or ConfigMap in the run's namespace."""

    name: ObjectName = Field(description="Name of the object, which is in the run's own namespace.")


def _pinned() -> ConfigDict:
    """Rules for the fields uri and revision: addresses of a hub have a commit, and no others."""
    return cel(
        (
            f"!self.uri.startsWith('{rules.HUB_PREFIX}') || "
            f"(has(self.revision) && self.revision.matches('{rules.COMMIT_PATTERN}'))",
            rules.NEEDS_COMMIT,
        ),
        (f"self.uri.startsWith('{rules.HUB_PREFIX}') || !has(self.revision)", rules.REVISION_NEEDS_HUB),
    )


class BaseModelSource(Model):
    """Base language model that the run aligns, in Hugging Face's format with safetensors weights.

    The digest of its files enters every step's key, its address does not: a model that moves keeps its artifacts, and
    one that changes at the same address reruns every step. (For s3:// the digest is over the objects' ETags.)
    """

    model_config = _pinned()

    uri: str = Field(
        pattern=r"^(builtin|hf|s3|file|pvc)://.+",
        max_length=1024,
        description="Address of the model: hf://ORG/NAME, s3://BUCKET/PREFIX, builtin://NAME for one that ships with "
        "SelfAlign, pvc://CLAIM/FOLDER (clusters only) or file://FOLDER (one machine only). s3:// is read from the "
        "service of spec.artifacts unless secretRef names another endpoint.",
    )
    revision: str | None = Field(
        default=None,
        max_length=128,
        description="Commit of a hf:// repository, 40 hexadecimal digits, required there and refused elsewhere. "
        "Branches and tags are refused because they can move.",
    )
    secret_ref: ObjectRef | None = Field(
        default=None,
        description="Secret for reading the model: HF_TOKEN and HF_ENDPOINT, or AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL and AWS_REGION. Unset: those of "
        "spec.artifacts.secretRef. On one machine they come from the environment.",
    )


class RowSource(Model):
    """File with rows of one's own: Parquet, or JSON lines, plain or compressed by gzip or zstd.

    The digest of its text enters the keys of the steps that read it, its address does not.
    """

    model_config = _pinned()

    uri: str = Field(
        pattern=r"^(hf|s3|file)://.+",
        max_length=1024,
        description="Address of the file, which ends with .jsonl, .jsonl.gz, .jsonl.zst or .parquet: "
        "s3://BUCKET/KEY, hf://datasets/ORG/NAME/PATH, hf://ORG/NAME/PATH beside a model, or file://PATH (one machine "
        "only). s3:// is read from the service of spec.artifacts unless secretRef names another endpoint.",
    )
    revision: str | None = Field(
        default=None,
        max_length=128,
        description="Commit of a hf:// repository, 40 hexadecimal digits, required there and refused elsewhere. "
        "Branches and tags are refused because they can move.",
    )
    secret_ref: ObjectRef | None = Field(
        default=None,
        description="Secret for reading the file, with keys as in spec.baseModel.secretRef. Unset: those of "
        "spec.artifacts.secretRef. On one machine they come from the environment.",
    )


class Principles(Model):
    """Principle pack: the rules, exemplars, seed tasks and prompts that the method starts from.

    Exactly one source is set. A step depends on the content of the part that it reads, not on the source, so a pack can
    move from a folder to a ConfigMap without a rerun.
    """

    model_config = cel(
        (
            "(has(self.builtin) ? 1 : 0) + (has(self.configMapRef) ? 1 : 0) + (has(self.uri) ? 1 : 0) == 1",
            rules.ONE_PACK_SOURCE,
        )
    )

    builtin: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None,
        description="Name of a pack that ships with SelfAlign: dromedary-16 (the paper's 16 principles), starter (five "
        "short rules without thoughts, for base models below 1 billion parameters) or hamlet (for the small built-in "
        "model).",
    )
    config_map_ref: ObjectRef | None = Field(
        default=None,
        description="ConfigMap whose keys are the files of a pack (clusters only). An edit of it reruns the steps that "
        "read what changed: at once if it has the label selfalign.dev/pack=true, else within ten minutes.",
    )
    uri: Annotated[str, Field(pattern=r"^file://.+", max_length=1024)] | None = Field(
        default=None,
        description="Address of a pack on one machine: file://PATH of its folder, or of its ConfigMap as a YAML file. "
        "A relative path starts at the manifest's folder.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        sources = [value for value in (self.builtin, self.config_map_ref, self.uri) if value is not None]
        if len(sources) != 1:
            raise PydanticCustomError("principles", rules.ONE_PACK_SOURCE)
        return self


class Artifacts(Model):
    """Store of the run's artifacts. Not part of any step's key; runs that share a store reuse each other's artifacts.

    Conditional writes (S3's If-None-Match) keep two writers of one artifact apart, so the server must support them.
    """

    model_config = cel(
        (
            f"!has(self.sseKmsKeyId) || (has(self.sse) && self.sse == '{rules.KMS_ENCRYPTION}')",
            rules.KMS_KEY_NEEDS_KMS,
        )
    )

    uri: str = Field(
        pattern=r"^(file|s3)://.+",
        max_length=1024,
        description="Address of the store: s3://BUCKET/PREFIX, or file://FOLDER on one machine; a cluster needs s3://, "
        "since its pods share no disk. The bucket must exist and support conditional writes.",
    )
    endpoint: Annotated[str, Field(pattern=r"^https?://.+", max_length=1024)] | None = Field(
        default=None, description="URL of an S3-compatible service. Unset: Amazon S3."
    )
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="S3 region. Unset: us-east-1 with an endpoint, else what the AWS SDK finds in its environment.",
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        default="auto",
        description="Where requests name the bucket: path (ENDPOINT/BUCKET), virtual (BUCKET.ENDPOINT), or auto, the "
        "AWS SDK's choice. Many S3-compatible services need path.",
    )
    ca_file: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="Path of a PEM file with the certificate authority of the endpoint, inside the pods (mount it with "
        "spec.podDefaults.template) or on this machine. Unset: the usual public authorities.",
    )
    sse: Literal["AES256", "aws:kms"] | None = Field(
        default=None,
        description="Server-side encryption requested for uploads (x-amz-server-side-encryption). Unset: the bucket's "
        "own default encryption.",
    )
    sse_kms_key_id: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        default=None,
        description="Id or ARN of the KMS key for sse aws:kms. Unset: the account's default key for S3.",
    )
    secret_ref: ObjectRef | None = Field(
        default=None,
        description="Secret whose keys become environment variables of the stage pods: AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and, if needed, AWS_SESSION_TOKEN. Unset: the ServiceAccount's workload identity.",
    )
