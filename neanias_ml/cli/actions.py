"""Verbs with actions, such as ``datasets check``: which one is meant, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neanias_ml.errors import UsageError


def chosen_action(verb: str, arguments: Sequence[str], actions: Mapping[str, str]) -> tuple[str, list[str]]:
    """The action that a command line begins with, and the words after it.

    Without an action, or with ``--help`` in its place, the overview is printed and the program ends.

    Parameters
    ----------
    actions
        What each action does, by name.

    Raises
    ------
    UsageError
        ``ActionUnknown``.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(verb, actions))
        raise SystemExit(0 if arguments else UsageError.exit_code)
    action, rest = arguments[0], list(arguments[1:])
    if action not in actions:
        raise UsageError("ActionUnknown", f"there is no action {action!r}; choose one of {', '.join(actions)}")
    return action, rest


def _overview(verb: str, actions: Mapping[str, str]) -> str:
    width = max(map(len, actions))
    lines = [f"  {name:<{width}}  {text}" for name, text in actions.items()]
    title = f"usage: neanias-ml {verb} ACTION [options]        (neanias-ml {verb} ACTION --help tells the options)"
    common = "every action has --config FILE, --print_config, --quiet, --seed N and --overwrite"
    return "\n".join([title, "", *lines, "", common])
