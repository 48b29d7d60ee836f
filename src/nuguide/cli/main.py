"""The program `nuguide`: its verbs, its exit codes, and what a person sees when something fails.

Exit codes: 0 done, 2 bad input or usage, 3 part of a batch failed, 130 interrupted.
"""

import errno
import io
import os
import re
import sys
from typing import Annotated

import typer

from nuguide import __version__
from nuguide.cli import (
    ablate,
    calibrate,
    compare,
    count,
    data,
    evaluate,
    fields,
    guides,
    info,
    models,
    reproduce,
    segment,
    selfcheck,
    train,
)
from nuguide.errors import InputError, NuguideError

BAD_INPUT = 2
INTERRUPTED = 130

_OPTION_OF_NOTHING = re.compile(r"--[\w-]+=")

app = typer.Typer(
    name="nuguide",
    help="Segment cell nuclei in digital pathology, guided by a frozen foundation model.",
    no_args_is_help=True,
    add_completion=False,
    # Boxes and colours for a person; plain lines in a pipe or a log.
    rich_markup_mode="rich" if sys.stdout.isatty() and sys.stderr.isatty() else None,
    # A real bug keeps Python's own traceback: it can be pasted into an issue as it is.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(segment.segment)
app.command()(info.info)
app.command()(selfcheck.selfcheck)
app.command()(fields.fields)
app.command()(count.count)
app.command()(train.train)
app.command()(ablate.ablate)
app.command()(reproduce.reproduce)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(calibrate.calibrate)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(guides.app, name="guides")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"nuguide {__version__}")
        raise typer.Exit


@app.callback()
def nuguide(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Segment cell nuclei in digital pathology, guided by a frozen foundation model."""


def main() -> None:
    """Run the program on ``sys.argv`` and leave with its exit code.

    A ``NuguideError`` is the input's fault: one line, no traceback, exit code 2; so is a name that
    is longer than the system takes, wherever it is first looked up. Everything else that escapes is
    a bug and keeps its traceback.
    """
    _write_whatever_it_says()
    try:
        _refuse_empty(sys.argv[1:])
        app()
    except NuguideError as error:
        typer.echo(f"error: {' '.join(str(error).splitlines())}", err=True)
        sys.exit(BAD_INPUT)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        typer.echo(
            f"error: {str(error.filename)[:60]}... is too long for the name of a file; expected "
            "one that the system takes; check the arguments",
            err=True,
        )
        sys.exit(BAD_INPUT)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            # Typer turns Ctrl-C into this exit code and says nothing.
            typer.echo("interrupted", err=True)
        _flush_quietly()
        raise


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse an empty value: as a path it would be the current folder, and never is meant."""
    for place, argument in enumerate(arguments):
        option = argument[:-1] if _OPTION_OF_NOTHING.fullmatch(argument) else ""
        if not argument or option:
            before = option or (arguments[place - 1] if place else "")
            raise InputError(
                f"an empty argument{f' after {before}' if before else ''}; expected a value; a "
                "variable of the shell may not be set"
            )


def _write_whatever_it_says() -> None:
    """Let a name that the console's encoding lacks come out as escapes, not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush_quietly() -> None:
    """Flush standard output; a reader that has gone (`nuguide ... | head`) is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more on its way out; give it a place that still listens.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
