"""Addresses of files with rows of one's own."""

import pytest

from selfalign_stages.own_rows import addresses
from selfalign_stages.own_rows.addresses import Address


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("file:///a/b.jsonl", Address("file", "", "file:///a/b.jsonl")),
        ("s3://rows/a/b.jsonl.gz", Address("s3", "rows", "a/b.jsonl.gz")),
        ("hf://datasets/org/name/a/b.jsonl.zst", Address("hf", "org/name", "a/b.jsonl.zst", dataset=True)),
        ("hf://org/name/b.jsonl", Address("hf", "org/name", "b.jsonl")),
    ],
)
def test_an_address_names_one_file(uri: str, address: Address) -> None:
    assert addresses.parse(uri) == address


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("https://host/a.jsonl", "use file:///PATH, s3://BUCKET/KEY, or hf://datasets/ORG/NAME/PATH"),
        ("a.jsonl", "use file:///PATH"),
        ("s3://rows.jsonl", "write s3://BUCKET/KEY"),
        ("hf://datasets/org/rows.jsonl", "write hf://datasets/ORG/NAME/PATH"),
        ("hf://org/rows.jsonl", "write hf://datasets/ORG/NAME/PATH"),
        ("s3://rows/a.jsonl?versionId=1.jsonl", "has a query or fragment"),
        ("s3://rows/a\u200b.jsonl", "write the address anew"),
        ("file:///a/b.csv", "convert it, so that its name ends with one of .jsonl, .jsonl.gz, .jsonl.zst, .parquet"),
    ],
)
def test_an_address_that_names_none_says_what_to_write_instead(uri: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=".") as raised:
        addresses.parse(uri)
    assert remedy in str(raised.value)
