"""Parses the addresses of files with rows of one's own. Pure.

An address names one file, unlike that of a base model: file:///PATH, s3://BUCKET/KEY, hf://datasets/ORG/NAME/PATH for a
data set on the hub, hf://ORG/NAME/PATH for a file beside a model. Each form is that of the base model's addresses, with
the path of the file at its end; `datasets/` is how huggingface_hub's own file system tells the two apart.
"""

from dataclasses import dataclass
from typing import Literal

from selfalign_stages.contract import rules

DATASETS = "datasets/"


@dataclass(frozen=True)
class Address:
    """Where a file is.

    Attributes:
        scheme: how it is read.
        container: bucket, or ORG/NAME of the repository; "" for a local file.
        path: key of the object, or path within the repository; for a local file the address itself.
        dataset: whether the repository is a data set.
    """

    scheme: Literal["file", "s3", "hf"]
    container: str
    path: str
    dataset: bool = False


def parse(uri: str) -> Address:
    """Parses an address.

    Raises:
        ValueError: it names no file that can be read; the message says what to write instead, and goes after the
            address.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in ("file", "s3", "hf"):
        raise ValueError("use file:///PATH, s3://BUCKET/KEY, or hf://datasets/ORG/NAME/PATH")
    if not rest.isprintable():
        raise ValueError("contains a control or invisible character: write the address anew")
    # A URI parser would cut such parts off, and another file would be read.
    if "?" in rest or "#" in rest:
        raise ValueError("has a query or fragment: rename the file, or write ? and # in a local path as %3F and %23")
    if problem := rules.row_file_problem(uri):
        raise ValueError(problem)
    if scheme == "file":
        return Address("file", "", uri)
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        if not bucket or not key:
            raise ValueError("names no object: write s3://BUCKET/KEY")
        return Address("s3", bucket, key)
    dataset = rest.startswith(DATASETS)
    organisation, _, after = rest.removeprefix(DATASETS).partition("/")
    name, _, path = after.partition("/")
    if not (organisation and name and path):
        raise ValueError("names no file: write hf://datasets/ORG/NAME/PATH, or hf://ORG/NAME/PATH beside a model")
    return Address("hf", f"{organisation}/{name}", path, dataset=dataset)
