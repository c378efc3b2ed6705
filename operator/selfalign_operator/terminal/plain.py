"""The one way in which text enters a table or a bar.

Rich takes strings for markup: a step called `[red]` would colour what follows it, and `[/]` would be an error. Names,
units and reasons come from manifests and from stage processes, so every cell is made of `Text`, which has no markup,
and of printable characters.
"""

from rich.text import Text

from selfalign_stages.contract.printable import printable


def plain(text: str, *, style: str = "") -> Text:
    """Returns one line of text that rich shows as it is, with what a terminal would carry out escaped."""
    return Text(printable(text), style=style)
