"""Arguments and help texts of the command `selfalign`.

Each command imports its implementation when it runs, so that `--help` and mistyped options do not wait for pydantic and
rich. The docstrings are the help texts, and docs/cli.md is generated from them. Their first line is the summary in the
list of commands, which typer cuts at 45 characters; the others are narrow because typer keeps their line breaks.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="selfalign",
    help="Turn a base language model into an aligned, evaluated assistant image, as one manifest describes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
principles = typer.Typer(help="Work with principle packs.", no_args_is_help=True)
app.add_typer(principles, name="principles")

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Manifest of a SelfAlignRun in YAML; - reads standard input.")
]
SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a field of the manifest, such as spec.seed=7. The value is YAML. Can be repeated.",
    ),
]
Output = Annotated[
    Literal["text", "json"],
    typer.Option("-o", "--output", help="Output format. json prints one document on standard output."),
]


@app.command()
def run(
    file: File,
    workdir: Annotated[
        Path, typer.Option(help="Folder of the artifact store, logs and temporary files. One run uses it at a time.")
    ] = Path(".selfalign"),
    set_values: SetValues = None,
    output: Output = "text",
) -> None:
    """Run a manifest on this machine.

    Carries out all stages as processes; no cluster is needed. Artifacts that
    the store already has are reused, so the same command continues a run that
    was interrupted, has failed or was edited. With -o json the final status is
    printed.

    Exit codes: 0 the image is ready, 1 the manifest is invalid or the run
    failed, 75 another process uses the working folder, 130 or 143 the run was
    interrupted by Ctrl-C or SIGTERM.
    """
    from selfalign_operator.cli import commands

    sys.exit(commands.run(file, workdir=workdir, set_values=set_values or (), as_json=output == "json"))


@app.command()
def validate(file: File, set_values: SetValues = None, output: Output = "text") -> None:
    """Check a manifest, report every problem.

    Checks syntax, fields, values and their combinations, as `run` and the
    operator do before they start anything. Inputs such as the base model are
    not opened: preflight checks those when the run starts. With -o json the
    problems are printed as a list of objects with field, value and message.

    Exit codes: 0 the manifest is valid, 1 it is not.
    """
    from selfalign_operator.cli import commands

    sys.exit(commands.validate(file, set_values=set_values or (), as_json=output == "json"))


@app.command()
def verify(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|IMAGE|FOLDER",
            help="Manifest of a run, reference of an image, or folder of an artifact store or an image layout.",
        ),
    ],
    workdir: Annotated[
        Path, typer.Option(help="Working folder with the artifact store of a run that names none.")
    ] = Path(".selfalign"),
    set_values: SetValues = None,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move damaged objects away, so that the next run makes them again.")
    ] = False,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Reach the registry of an image without TLS.")
    ] = False,
    output: Output = "text",
) -> None:
    """Read every byte again, name what is damaged.

    A run compares its finished artifacts by name and size before it skips
    their steps, and by digest only what it reads. This reads all of them: for
    a manifest the artifacts of its run, with the step that makes each. Damaged
    objects stay where they are unless --set-aside moves them to the folder
    set-aside of the store; nothing is deleted.

    Exit codes: 0 nothing is damaged, 1 something is, 42 to 76 the target
    cannot be read.
    """
    from selfalign_operator.cli import verifying

    options = [*(["--set-aside"] if set_aside else []), *(["--plain-http"] if plain_http else []), "-o", output]
    sys.exit(verifying.verify(target, workdir=workdir, set_values=set_values or (), options=options))


@app.command()
def retry(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Manifest of a run on this machine, or with --namespace the name of a run on a cluster.",
        ),
    ],
    step: Annotated[
        str | None,
        typer.Option("--from", metavar="STEP", help="Step that is made again, with all that are made from it."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace of a run on a cluster, which kubectl reaches.")
    ] = None,
    workdir: Annotated[Path, typer.Option(help="Working folder of a run on this machine.")] = Path(".selfalign"),
    set_values: SetValues = None,
) -> None:
    """Try failed steps again, or repeat one.

    Without --from, steps that failed for good get all their attempts again,
    and nothing else is touched. With --from, a step is made again although
    its artifact exists, with another seed, and so is all that is made from it:
    after a bad sample, or a changed Secret.

    On a cluster this sets the annotation selfalign.dev/retry of the run. On
    this machine `selfalign run` tries failed steps again by itself, and --from
    is recorded in the working folder for it.

    Exit codes: 0 the retry is recorded, 1 it is refused.
    """
    from selfalign_operator.cli import retrying

    if namespace is not None:
        sys.exit(retrying.retry_on_cluster(target, namespace=namespace, step=step))
    sys.exit(retrying.retry_on_this_machine(Path(target), workdir=workdir, set_values=set_values or (), step=step))


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition.

    The Helm chart installs it. Without Helm:
    selfalign crd | kubectl apply --server-side -f -
    """
    from selfalign_operator.schemas import crd as definition

    typer.echo(definition.text(), nl=False)


@app.command()
def version() -> None:
    """Print the version of SelfAlign."""
    from importlib import metadata

    typer.echo(metadata.version("selfalign"))


@principles.command("lint")
def lint(
    pack: Annotated[
        str,
        typer.Argument(metavar="PACK", help="Pack to check: builtin://NAME, a folder, or a ConfigMap as a YAML file."),
    ],
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a model. Its tokenizer counts the prompt's tokens against its context length."),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(help="Maximum new tokens of an answer, for the token budget with --model.")
    ] = 256,
    assistant_name: Annotated[str, typer.Option(help="Name that fills {assistantName} in the pack.")] = "Dromedary",
    output: Output = "text",
) -> None:
    """Check a principle pack.

    Reports errors and warnings on the numbering of principles, exemplars
    whose thoughts cannot be parsed, principles that no exemplar names,
    placeholders, duplicates, identity questions and, with --model, the token
    budget.

    Exit codes: 0 no errors, 42 at least one error.
    """
    import subprocess

    # A process of its own: the operator's package does not import the stages, which read packs.
    arguments = ["--max-tokens", str(max_tokens), "--assistant-name", assistant_name, "--output", output]
    program = [sys.executable, "-m", "selfalign_stages.pack", pack, *arguments]
    sys.exit(subprocess.run(program + (["--model", str(model)] if model else []), check=False).returncode)


def main() -> None:
    """Runs the command line; the entry point of the console script."""
    app()
