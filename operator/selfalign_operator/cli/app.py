"""The command `selfalign`. Every command imports what it needs when it runs, so that --help answers at once."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="selfalign",
    help="From a base language model to an evaluated assistant image, by one manifest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
principles = typer.Typer(help="Work on principle packs.", no_args_is_help=True)
app.add_typer(principles, name="principles")

File = Annotated[Path, typer.Argument(metavar="FILE", help="a SelfAlignRun in YAML, - for standard input")]
SetValues = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="change a field, such as spec.seed=7"),
]
Output = Annotated[Literal["text", "json"], typer.Option("-o", "--output", help="how to tell the result")]


@app.command()
def run(
    file: File,
    workdir: Annotated[Path, typer.Option(help="where store, logs and scratch lie")] = Path(".selfalign"),
    set_values: SetValues = None,
    output: Output = "text",
) -> None:
    """Carry a run out on this machine; what is published already is taken from the store."""
    from selfalign_operator.cli import commands

    sys.exit(commands.run(file, workdir=workdir, set_values=set_values or (), as_json=output == "json"))


@app.command()
def validate(file: File, set_values: SetValues = None, output: Output = "text") -> None:
    """Tell everything that is wrong with a manifest."""
    from selfalign_operator.cli import commands

    sys.exit(commands.validate(file, set_values=set_values or (), as_json=output == "json"))


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition."""
    from selfalign_operator.schemas import crd as definition

    typer.echo(definition.text(), nl=False)


@app.command()
def version() -> None:
    """Tell the version."""
    from importlib import metadata

    typer.echo(metadata.version("selfalign"))


@principles.command("lint", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lint(context: typer.Context, pack: Annotated[str, typer.Argument(metavar="PACK")]) -> None:
    """Check a pack: numbering, rules named in thoughts, coverage, token budget. Options go on to the linter."""
    import subprocess

    program = [sys.executable, "-m", "selfalign_stages.pack", pack, *context.args]
    sys.exit(subprocess.run(program, check=False).returncode)


def main() -> None:
    """Entry point of the console script."""
    app()
