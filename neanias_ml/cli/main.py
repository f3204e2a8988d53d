"""`neanias-ml VERB`: finds the verb, runs it, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import errno
import gc
import importlib
import sys
from collections.abc import Callable, Sequence

from neanias_ml import __version__
from neanias_ml.errors import NeaniasError, ResourceError

VERBS = {
    "extract": "islands and components of a map (classical stage only)",
    "detect": "classified objects of a map: the main job",
    "associate": "rows of any catalogue grouped into physical objects",
    "match": "two catalogues, of any finder, matched and compared",
    "select": "cuts on the rows of any catalogue",
    "simulate": "labelled maps for training and tests",
    "train": "networks from simulated and labelled maps",
    "evaluate": "figures of the networks on maps of known content",
    "models": "trained networks by name: versions, aliases, look-up",
    "convert": "labels between COCO, CAESAR sidecars and DS9 regions",
    "datasets": "labels checked, counted and drawn",
}
"""Verb and its line of help; the verb's function is ``neanias_ml.cli.VERB.main``."""

COLLECTED = ("train", "models")
"""Verbs that import torch's compiler, which complains at the end of the program of what `load_for_good` keeps."""

EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    0 done, 2 wrong usage, 3 bad input, 4 resource trouble, 5 model trouble, 1 a bug of ours, 130 interrupted, 143
    terminated while training.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else EXIT_USAGE
    if words[0] == "--version":
        print(f"neanias-ml {__version__}")
        return 0
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        print(f"neanias-ml: there is no verb {verb!r}; choose one of {', '.join(VERBS)}", file=sys.stderr)
        return EXIT_USAGE
    debug = "--debug" in rest
    return _guarded(verb, [word for word in rest if word != "--debug"], debug=debug)


def _guarded(verb: str, arguments: list[str], *, debug: bool) -> int:
    run: Callable[[list[str]], None] = importlib.import_module(f"neanias_ml.cli.{verb}").main
    try:
        run(arguments)
    except SystemExit as stop:  # the argument parser has printed its own message
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        print(f"neanias-ml {verb}: interrupted; nothing half-written was left under a final name", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if debug:
            raise
        known = as_known_error(error)
        if known is None:
            print(
                f"neanias-ml {verb}: this is a bug of ours ({type(error).__name__}: {error}); "
                "run the command again with --debug and report what it prints",
                file=sys.stderr,
            )
            return EXIT_BUG
        print(f"neanias-ml {verb}: {known.message} [{known.qualified_code}]", file=sys.stderr)
        return known.exit_code
    return 0


def as_known_error(error: Exception) -> NeaniasError | None:
    """The error as one for the user, or None for a bug."""
    if isinstance(error, NeaniasError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError("OutOfMemory", "the memory ran out; use a smaller map or a machine with more memory")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError("DiskFull", f"the disk is full ({error.filename or error}); free some space and try again")
    return None


def _overview() -> str:
    lines = [f"  {verb:<10} {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "usage: neanias-ml VERB [options]        (neanias-ml VERB --help tells the options)",
            "",
            *lines,
            "",
            "exit codes: 0 done, 2 wrong usage, 3 bad input, 4 resource trouble, 5 model trouble, 1 a bug of ours,",
            "130 interrupted, 143 terminated while training",
        ]
    )


def load_for_good(verb: str) -> None:
    """Import a verb and the libraries it needs, out of sight of the garbage collector.

    What they set up stays to the end of the process: looking through it for garbage, at once and again and again
    later, would take a tenth of a short run.
    """
    gc.disable()
    try:
        importlib.import_module(f"neanias_ml.cli.{verb}")
    finally:
        gc.freeze()
        gc.enable()


def console_script() -> None:
    """Entry point of the installed command."""
    if len(sys.argv) > 1 and sys.argv[1] in VERBS and sys.argv[1] not in COLLECTED:
        load_for_good(sys.argv[1])
    sys.exit(main())
