"""The table of languages in docs/languages.md says what the code recognises, no more and no less."""

import re
from pathlib import Path

from selfalign_stages.pack import limit_phrases
from selfalign_stages.text import language, prompt_filters, refusals

TEXT = (Path(__file__).parents[3] / "docs" / "languages.md").read_text()


def documented() -> dict[str, tuple[str, ...]]:
    """The cells of every language."""
    table: dict[str, tuple[str, ...]] = {}
    for line in TEXT.split("\n"):
        if line.startswith("| `") and not line.startswith("| `language`"):
            names, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            table |= {name: tuple(cells) for name in re.findall("`([a-z]+)`", names)}
    return table


def test_the_table_of_languages_agrees_with_the_code() -> None:
    def yes(known: bool) -> str:
        return "yes" if known else ""

    expected = {
        name: (
            yes(name in refusals.OPENINGS),
            yes(name in limit_phrases.PHRASES),
            yes(name in prompt_filters.BEYOND_TEXT),
            "yes" if name in language.COMMON else ("by script" if name in language.SCRIPTS else ""),
        )
        for name in {*refusals.OPENINGS, *limit_phrases.PHRASES, *language.SCRIPTS, *language.COMMON}
    }
    assert documented() == expected
