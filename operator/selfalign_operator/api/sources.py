"""Where a run's inputs come from and where its artifacts go."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from selfalign_operator.api.validation import cel
from selfalign_operator.api.values import ObjectName
from selfalign_stages.contract.model import Model


class ObjectRef(Model):
    """A Secret or ConfigMap in the run's namespace."""

    name: ObjectName


class BaseModelSource(Model):
    """The base language model. hf:// must be pinned to a commit, so that the same manifest means the same weights."""

    model_config = cel(
        (
            "!self.uri.startsWith('hf://') || (has(self.revision) && self.revision.matches('^[0-9a-f]{40}$'))",
            "hf:// needs revision: the 40 hexadecimal digits of a commit, because tags and branches move",
        ),
        ("self.uri.startsWith('hf://') || !has(self.revision)", "revision applies to hf:// alone: remove it"),
    )

    uri: str = Field(
        pattern=r"^(builtin|hf|s3|file|pvc)://.+",
        max_length=1024,
        description="builtin://NAME, hf://ORG/NAME, s3://BUCKET/PREFIX, file://FOLDER or pvc://CLAIM/FOLDER",
    )
    revision: str | None = Field(default=None, max_length=128, description="commit of a hf:// repository")
    secret_ref: ObjectRef | None = Field(default=None, description="Secret with HF_TOKEN or S3 credentials")


class Principles(Model):
    """The principle pack: exactly one place. Its content is what counts, never its name."""

    model_config = cel(
        (
            "(has(self.builtin) ? 1 : 0) + (has(self.configMapRef) ? 1 : 0) + (has(self.uri) ? 1 : 0) == 1",
            "give exactly one of builtin, configMapRef and uri",
        )
    )

    builtin: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="name of a pack that ships with SelfAlign"
    )
    config_map_ref: ObjectRef | None = Field(default=None, description="ConfigMap with the files of a pack")
    uri: Annotated[str, Field(pattern=r"^file://.+", max_length=1024)] | None = Field(
        default=None, description="a pack's folder, or its ConfigMap as YAML: file://PATH"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [value for value in (self.builtin, self.config_map_ref, self.uri) if value is not None]
        if len(given) != 1:
            raise PydanticCustomError("principles", "give exactly one of builtin, configMapRef and uri")
        return self


class Artifacts(Model):
    """The artifact store. Credentials come from the Secret or from the pod's service account."""

    model_config = cel(
        (
            "!has(self.sseKmsKeyId) || (has(self.sse) && self.sse == 'aws:kms')",
            "sseKmsKeyId applies to sse aws:kms alone: set sse, or remove it",
        )
    )

    uri: str = Field(pattern=r"^(file|s3)://.+", max_length=1024, description="s3://BUCKET/PREFIX or file://FOLDER")
    endpoint: Annotated[str, Field(pattern=r"^https?://.+", max_length=1024)] | None = Field(
        default=None, description="address of an S3 service other than AWS"
    )
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(default=None, description="S3 region")
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        default="auto", description="whether the bucket stands in the path or in the host name"
    )
    ca_file: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="PEM file with the certificate authority of the endpoint"
    )
    sse: Literal["AES256", "aws:kms"] | None = Field(default=None, description="server-side encryption")
    sse_kms_key_id: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        default=None, description="key for sse aws:kms"
    )
    secret_ref: ObjectRef | None = Field(default=None, description="Secret with AWS_ACCESS_KEY_ID and the like")
