"""`neanias-ml models register | promote | ...`: versioned, verified models by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.cli.actions import chosen_action
from neanias_ml.cli.options import parse_options, require_output, silent_libraries, verb_parser
from neanias_ml.datasets.labels.statistics import table_lines
from neanias_ml.errors import UsageError
from neanias_ml.registry.model_registry import ModelHistory, ModelRegistry
from neanias_ml.registry.promotion_log import PromotionRecord
from neanias_ml.registry.references import is_reference
from neanias_ml.registry.versions import NETWORK, PRIMARY_METRIC, RegisteredVersion

BUNDLE_HELP = "bundle folder, or models:/NAME@ALIAS"


def build_parser(action: str) -> ArgumentParser:
    """The options of one of `ACTIONS`."""
    text = ACTIONS[action][1]
    parser = verb_parser(f"models {action}", description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--tracking-uri", type=str, default=None, help="MLflow server, or database file or folder")
    parser.add_argument("--cache", type=str, default=None, help="folder for fetched models (default: NEANIAS_CACHE)")
    if action == "register":
        parser.add_argument("bundle", type=str, help="bundle folder, as training leaves it")
        parser.add_argument("--name", type=str, default=None, help="name of the model (required)")
        parser.add_argument("--evaluation", type=str, default=None, help="evaluation report (default: beside BUNDLE)")
        parser.add_argument("--run", type=str, default=None, help="run.json of the training (default: beside BUNDLE)")
    elif action in ("promote", "demote", "show"):
        parser.add_argument("name", type=str, help="name of the model")
    if action == "promote":
        parser.add_argument("version", type=int, help="number of the version")
        parser.add_argument("--force", type=str, default=None, metavar="REASON", help="pass over missing evidence")
    if action == "demote":
        parser.add_argument("--reason", type=str, default=None, help="why; kept in the history")
    if action in ("promote", "demote"):
        parser.add_argument("--alias", type=str, default=None, help="champion, candidate, ... (required)")
    if action in ("list", "show"):
        parser.add_argument("--json", action="store_true", help="print JSON for programs")
    if action == "pull":
        parser.add_argument("reference", type=str, help="models:/NAME@ALIAS or models:/NAME/VERSION")
    if action in ("verify", "export"):
        parser.add_argument("bundle", type=str, help=BUNDLE_HELP)
    if action in ("pull", "export"):
        parser.add_argument("-o", "--output", type=str, help="folder for the results (required)")
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    action, rest = chosen_action("models", arguments, {name: text for name, (_, text) in ACTIONS.items()})
    options = parse_options(build_parser(action), rest)
    with silent_libraries():
        ACTIONS[action][0](options)


def register(options: Namespace) -> None:
    """Put a bundle into the registry."""
    name = _required(options, "name", "NameMissing", "give the model a name: --name NAME")
    registry = _registry(options)
    done = registry.register(options.bundle, name, evaluation=options.evaluation, run=options.run)
    what = "registered" if done.is_new else "already registered"
    lines = [f"{what}: {options.bundle} as {done.version.reference} (bundle {done.version.digest[:12]})"]
    if done.evaluation_attached:
        lines.append(f"evaluation attached: {_score(done.version)}")
    elif not done.version.has_evaluation:
        lines.append("without an evaluation report; attach one by registering again with --evaluation FILE")
    _say(options, *lines)


def promote(options: Namespace) -> None:
    """Give an alias to a version."""
    alias = _required(options, "alias", "AliasMissing", "name the alias: --alias champion")
    timeline = _registry(options).promote(options.name, options.version, alias, force=options.force)
    if timeline.version == options.version:
        _say(options, f"models:/{options.name}@{alias} is version {options.version}")
    else:
        _say(
            options,
            f"version {options.version} of {options.name} became {alias}, and version {timeline.version} after it",
        )


def demote(options: Namespace) -> None:
    """Take an alias away."""
    alias = _required(options, "alias", "AliasMissing", "name the alias: --alias champion")
    version = _registry(options).demote(options.name, alias, reason=options.reason)
    _say(options, f"version {version} of {options.name} is no longer {alias}")


def list_models(options: Namespace) -> None:
    """Print every version of every model."""
    models = _registry(options).list_models()
    versions = [version for versions in models.values() for version in versions]
    if options.json:
        print(json.dumps([version.document() for version in versions], indent=1))
        return
    _say(options, *(_version_table(versions) if versions else ["no model is registered"]))


def show(options: Namespace) -> None:
    """Print what is known of one model."""
    history = _registry(options).show(options.name)
    if options.json:
        print(json.dumps(history.document(), indent=1))
        return
    _say(options, *_version_table(history.versions), *_lineage_lines(history), *_promotion_lines(history))


def pull(options: Namespace) -> None:
    """Fetch a model into a folder."""
    output = require_output(options)
    folder = _registry(options).pull(options.reference, output, overwrite=options.overwrite)
    _say(options, f"written: {folder} ({options.reference}, every digest verified)")


def verify(options: Namespace) -> None:
    """Check the files of a model."""
    digest = _registry(options).verify(options.bundle)
    _say(options, f"intact: {options.bundle} (bundle {digest})")


def export(options: Namespace) -> None:
    """Write the networks of a model as ONNX."""
    output = require_output(options)
    from neanias_ml.models.onnx_export import export_onnx

    folder = _registry(options).pull(options.bundle) if is_reference(options.bundle) else Path(options.bundle)
    report = export_onnx(folder, output, overwrite=options.overwrite)
    _say(options, *report.lines())


def _registry(options: Namespace) -> ModelRegistry:
    def warn(sentence: str) -> None:
        if not options.quiet:
            print(f"warning: {sentence}", file=sys.stderr)

    return ModelRegistry(options.tracking_uri, cache=options.cache, warn=warn)


def _required(options: Namespace, name: str, code: str, sentence: str) -> str:
    if not options[name]:
        raise UsageError(code, sentence)
    return str(options[name])


def _say(options: Namespace, *lines: str) -> None:
    if not options.quiet:
        print("\n".join(lines))


def _score(version: RegisteredVersion) -> str:
    return "" if version.score is None else f"{version.tags.get(PRIMARY_METRIC, '')} {version.score:.6g}"


def _version_table(versions: list[RegisteredVersion] | tuple[RegisteredVersion, ...]) -> list[str]:
    rows = [["model", "version", "aliases", "network", "score", "registered", "bundle"]]
    rows += [
        [
            version.name,
            str(version.number),
            ", ".join(version.aliases),
            version.tags.get(NETWORK, ""),
            _score(version),
            f"{version.created:%Y-%m-%d %H:%M}",
            version.document()["bundle_digest"] or "no bundle of neanias_ml",
        ]
        for version in versions
    ]
    return table_lines(rows)


def _lineage_lines(history: ModelHistory) -> list[str]:
    rows = [["version", "started from", "training data", "code", "commit"]]
    for version in history.versions:
        known = version.document()
        beginning = "random weights" if known["code_version"] else "unknown"
        parent = history.parents.get(version.number) or known["parent_digest"] or beginning
        rows.append(
            [
                str(version.number),
                parent,
                (known["data_digest"] or "unknown")[:12],
                known["code_version"] or "unknown",
                (known["git_commit"] or "unknown")[:12],
            ]
        )
    return ["", *table_lines(rows)]


def _promotion_lines(history: ModelHistory) -> list[str]:
    if not history.promotions:
        return ["", "no version was ever promoted"]
    rows = [["time (UTC)", "user", "alias", "what", "reason"]]
    for record in history.promotions:
        event = record.event
        rows.append([event.time[:19].replace("T", " "), event.user, event.alias, _what(record), event.reason or ""])
    return ["", *table_lines(rows)]


def _what(record: PromotionRecord) -> str:
    event = record.event
    score = "" if event.evidence is None else f" ({event.evidence.primary} {event.evidence.score:.6g})"
    if event.kind == "remove":
        return f"taken from version {event.version}"
    if event.kind == "evaluate":
        return f"version {event.version} evaluated again{score}"
    if record.refusal is not None:
        return f"refused to version {event.version}: {record.refusal}"
    return f"version {record.previous or 'none'} to version {event.version}{score}"


ACTIONS: dict[str, tuple[Callable[[Namespace], None], str]] = {
    "register": (register, "put a model bundle into the registry under a name"),
    "promote": (promote, "give an alias to a version on the evidence of its evaluation"),
    "demote": (demote, "take an alias away from the version that has it"),
    "list": (list_models, "list all registered models and their versions"),
    "show": (show, "show versions, lineage and promotions of a model"),
    "pull": (pull, "fetch a model and check every file of it"),
    "verify": (verify, "check that a model is complete and unchanged"),
    "export": (export, "write the networks of a model as ONNX files"),
}
"""Actions of the verb: their functions and what they do."""
