"""Numbers, durations and sizes as people read them. Pure."""


def duration(seconds: float | None) -> str:
    """At most two units: 7s, 3m20s, 2h05m."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"


def size(count: float) -> str:
    """Bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def amount(value: float) -> str:
    """A count or a rate without useless digits."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def rejects(rejected: dict[str, int], *, most: int = 3) -> str:
    """The most frequent reasons with their counts."""
    ordered = sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f"{reason} {amount(count)}" for reason, count in ordered[:most]]
    rest = sum(count for _, count in ordered[most:])
    return ", ".join(shown + ([f"other {amount(rest)}"] if rest else []))
