"""The ``qdm`` command. Heavy imports stand inside the commands, so that help is instant."""

from __future__ import annotations

import atexit
import gc
import inspect
import sys

import typer

from ..errors import QdmError
from ..version import __version__
from . import (
    amortise,
    budget,
    circuits,
    compare,
    compete,
    data,
    devices,
    evaluate,
    export,
    ladder,
    models,
    parts,
    privacy,
    refit,
    report,
    reproduce,
    restore,
    run,
    runs,
    sample,
    share,
    sweep,
    train,
)
from .option_help import ExplainsOptions

__all__ = [
    "EXIT_ERROR",
    "EXIT_INTERRUPTED",
    "app",
    "fail",
    "main",
    "options",
]

EXIT_ERROR = 2
"""Exit code of a mistake in the input or the surroundings, explained in one line."""
EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C; whatever can be resumed says how."""

app = typer.Typer(
    name="qdm",
    help="Quantum diffusion models: train on simulators, sample through device noise, see the cost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("train", cls=ExplainsOptions)(train.train)
app.command("sweep", cls=ExplainsOptions)(sweep.sweep)
app.command("sample")(sample.sample)
app.command("refit")(refit.refit)
app.command("restore")(restore.restore)
app.command("amortise")(amortise.amortise)
app.command("compete")(compete.compete)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("card")(share.card)
app.command("push")(share.push)
app.command("pull")(share.pull)
app.command("ladder")(ladder.ladder)
app.command("compare")(compare.compare)
app.command("reproduce")(reproduce.reproduce)
app.add_typer(report.app, name="report")
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(devices.app, name="devices")
app.add_typer(budget.app, name="budget")
app.add_typer(run.app, name="run")
app.add_typer(runs.app, name="runs")
app.add_typer(circuits.app, name="circuits")
app.add_typer(privacy.app, name="privacy")
app.command("parts")(parts.parts)


def _rewrap(group: typer.Typer) -> None:
    """Let the terminal break the paragraphs of all help texts; examples keep their lines."""
    for command in group.registered_commands:
        if command.callback is not None and command.help is None:
            paragraphs = inspect.cleandoc(command.callback.__doc__ or "").split("\n\n")
            command.help = "\n\n".join(
                each if each.startswith(" ") else " ".join(each.split()) for each in paragraphs
            )
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _rewrap(below.typer_instance)


_rewrap(app)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"qdm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Quantum diffusion models on Qiskit.

    Example:

        qdm train --preset digits-demo --out runs/demo
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every expected mistake ends in one line and exit code 2."""
    # Python would look through a million objects of torch and Qiskit once more before it ends.
    atexit.register(gc.freeze)
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="qdm", standalone_mode=False)
    except QdmError as error:
        from .flags import with_flags

        typed = sys.argv[1:] if arguments is None else arguments
        fail(with_flags(" ".join(str(error).split()), command, typed))
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except OSError as error:  # what no room foresaw: a name too long, a disk that fails
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}.")
    except MemoryError:
        fail("This machine's memory does not hold what was asked for; ask for less.")
    except Exception as error:  # the parser's errors have no public class in typer
        if not hasattr(error, "format_message"):
            raise
        from .flags import parser_message

        fail(parser_message(error))  # the parser's own errors: unknown options, missing values
    if code == EXIT_INTERRUPTED:  # the parser's library turns Ctrl-C into this code, silently
        typer.echo("interrupted", err=True)
    sys.exit(code or 0)


def fail(message: str) -> None:
    """Print one line on standard error and leave with :data:`EXIT_ERROR`.

    Without a message, as after `qdm` alone, the parser has shown the help already.
    """
    if message:
        typer.echo("error: " + " ".join(message.split()), err=True)
    sys.exit(EXIT_ERROR)


if __name__ == "__main__":  # `python -m qdm_qiskit.cli.main`
    main()
