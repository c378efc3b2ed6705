"""Counts of rows by verdict. A row that a step rejects stays in its artifact with a reason, and is counted here."""

from collections.abc import Mapping

from pydantic import Field

from selfalign_stages.contract.model import Model


class Counts(Model):
    """Rows of an artifact by verdict: rows = kept + all rejected."""

    rows: int = Field(default=0, description="rows that the step produced")
    kept: int = Field(default=0, description="rows without a reject reason; later steps read these alone")
    rejected: dict[str, int] = Field(default={}, description="rows by reject reason; a row has one reason at most")


OTHER_REASONS = "other-reasons"
"""Under which the rarest reject reasons are added up where there is no room for all of them."""


def most_frequent(rejected: Mapping[str, int], keep: int) -> dict[str, int]:
    """Shortens counts by reject reason without losing a row.

    Args:
        rejected: rows by reason; it may have been shortened before.
        keep: reasons to keep.

    Returns:
        The `keep` most frequent reasons, and the rows of all others under OTHER_REASONS; all reasons if they fit.
    """
    if len(rejected) <= keep:
        return dict(rejected)
    ranked = sorted(rejected.items(), key=lambda item: (item[0] == OTHER_REASONS, -item[1], item[0]))
    return dict(ranked[:keep]) | {OTHER_REASONS: sum(rows for _, rows in ranked[keep:])}
