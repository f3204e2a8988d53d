"""Options that the verbs share, and the parser that reads them from command line and YAML."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from itertools import islice

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from neanias_ml.errors import UsageError


def verb_parser(verb: str, *, description: str, seed: int | None = 0) -> ArgumentParser:
    """A parser with the options that every verb has; ``seed`` is the one without ``--seed``."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    # the name of an option is written out, lest a new option change what an old command means
    parser = ArgumentParser(
        prog=f"neanias-ml {verb}", description=description, exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument(
        "--config", action="config", help="YAML file with any of the options; the command line beats it"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--seed", type=int, default=seed, help="seed of every random choice; kept in run.json")
    parser.add_argument("--overwrite", action="store_true", help="replace results of an earlier run in the folder")
    return parser


def parse_options(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    """Options of a command line; what stands on it beats what a ``--config`` file says, wherever that is named.

    Raises
    ------
    UsageError
        ``OptionUnknown`` with the nearest name, ``OptionInvalid``.
    """
    files: list[str] = []
    words: list[str] = []
    remaining = iter(arguments)
    for word in remaining:
        if word == "--config":
            files += [word, *islice(remaining, 1)]
        elif word.startswith("--config="):
            files.append(word)
        else:
            words.append(word)
    try:
        return parser.parse_args([*files, *words])
    except argparse.ArgumentError as error:
        raise _option_error(parser, str(error)) from error


def instantiated(parser: ArgumentParser, options: Namespace) -> Namespace:
    """The options with their groups as dataclasses.

    Raises
    ------
    UsageError
        ``OptionInvalid`` if a value is outside its range.
    """
    try:
        return parser.instantiate(options)
    except (TypeError, ValueError) as error:
        raise UsageError("OptionInvalid", f"an option cannot be used: {' '.join(str(error).split())}") from error


_UNKNOWN = (
    re.compile(r"Group '(?P<group>[^']+)' does not accept option '(?P<name>[^']+)'"),
    re.compile(r"Option '(?P<name>[^']+)' is not accepted"),
    re.compile(r"unrecognized arguments: --(?P<name>[^\s=]+)"),
)
"""How the parser says that it does not know an option of a file or of the command line."""


def _option_error(parser: ArgumentParser, message: str) -> UsageError:
    """The parser's message as a sentence that names what was meant, or where to look."""
    help_hint = f"{parser.prog} --help tells the options"
    found = next((match for pattern in _UNKNOWN if (match := pattern.search(message))), None)
    if found is None:
        text = " ".join(message.split()).replace('Parser key "', 'option "').rstrip(".")
        return UsageError("OptionInvalid", f"{text}; {help_hint}")
    parts = found.groupdict()
    name = ".".join(filter(None, (parts.get("group"), parts["name"])))
    known = [action.dest for action in parser._actions if action.dest not in ("help", "print_config")]
    near = difflib.get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.6)
    meant = f"did you mean {near[0]}?" if near else help_hint
    return UsageError("OptionUnknown", f"there is no option {name}; {meant}")


def usable_cores() -> int:
    """Cores that the machine grants this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_output(options: Namespace) -> str:
    """The output folder, or an error that names the option."""
    if not options.output:
        raise UsageError("OutputMissing", "say where the results go: -o FOLDER")
    return str(options.output)


@contextlib.contextmanager
def silent_libraries() -> Iterator[None]:
    """Keep warnings of libraries from the user: what matters to a map is in its flags."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        previous = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(previous)
