"""Generated documents agree with the code, and links and examples in README.md with the repository."""

from pathlib import Path

from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]


def test_the_command_reference_agrees_with_the_commands(tmp_path: Path) -> None:
    """To regenerate it: `typer selfalign_operator.cli.app utils docs --name selfalign --output docs/cli.md`."""
    from typer.cli import app

    arguments = [
        "selfalign_operator.cli.app",
        "utils",
        "docs",
        "--name",
        "selfalign",
        "--output",
        str(tmp_path / "cli.md"),
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert (tmp_path / "cli.md").read_text() == (ROOT / "docs" / "cli.md").read_text()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    import re

    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    manifest = (ROOT / "examples" / "quickstart.yaml").read_text()
    assert manifest.split("\n", 2)[2].strip() in (ROOT / "README.md").read_text()
