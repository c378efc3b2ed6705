"""An edit of a pack reaches the runs that use it now, and what no run uses is forgotten."""

from selfalign_operator.cluster.pack_users import PackUsers

ONE, OTHER = ("team", "one"), ("team", "other")


def test_a_pack_has_the_runs_that_use_it() -> None:
    users = PackUsers()
    users.record(ONE, "ours")
    users.record(OTHER, "ours")
    users.record(("else", "one"), "ours")
    users.record(ONE, "ours")
    assert users.of("team", "ours") == ("one", "other") and users.of("team", "theirs") == ()


def test_a_run_that_is_gone_or_uses_another_pack_is_forgotten() -> None:
    users = PackUsers()
    users.record(ONE, "ours")
    users.record(ONE, "theirs")
    assert users.of("team", "ours") == () and users.of("team", "theirs") == ("one",)
    users.record(ONE, None)
    users.record(OTHER, None)
    assert len(users) == 0
