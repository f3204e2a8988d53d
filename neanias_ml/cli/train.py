"""`neanias-ml train detector | association | morphology`: from a recipe to a model bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.cli.actions import chosen_action
from neanias_ml.cli.model_reference import model_folder_of
from neanias_ml.cli.options import instantiated, parse_options, require_output, verb_parser
from neanias_ml.training.fit import train_network
from neanias_ml.training.network_kind import FittedNetwork, NetworkKind
from neanias_ml.training.prepared import dev_preparation, ensure_prepared, preparation_type
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.run_record import RunWatch, git_commit
from neanias_ml.training.strategy import first_process, launcher_of

if TYPE_CHECKING:
    from neanias_ml.registry.tracking import TrackedRun

KINDS = {
    "detector": ("neanias_ml.training.detector.kind", "DetectorKind", "finds and classifies what islands make up"),
    "association": ("neanias_ml.training.association.kind", "AssociationKind", "joins islands into objects"),
    "morphology": ("neanias_ml.training.morphology.kind", "MorphologyKind", "tells what an extended object is"),
}
"""Networks: where their kind lies, and what they do."""

TRACKED_FILES = ("config.yaml", "run.json", "evaluation.json", "log", "pictures", "bundle")
"""What of a run's folder goes to the tracked run."""


def build_parser(name: str) -> ArgumentParser:
    """The options of the training of one of `KINDS`."""
    parser = verb_parser(f"train {name}", description=f"Train the network that {KINDS[name][2]}.", seed=None)
    parser.add_argument("-o", "--output", type=str, help="folder of the run (required)")
    parser.add_argument("--data", type=str, default=None, help="folder of the prepared data (default: OUTPUT/data)")
    parser.add_argument(
        "--real-data", type=str, default=None, help="folder of the real sets that the preparation names "
        "(default: the environment variable NEANIAS_REAL_DATA)"
    )  # fmt: skip
    parser.add_argument("--prepare-workers", type=int, default=1, help="processes of the preparation")
    parser.add_argument("--prepare-only", action="store_true", help="stop when the data are prepared")
    parser.add_argument(
        "--resume", nargs="?", const="yes", default="no", choices=["no", "yes", "auto"],
        help="go on from the last checkpoint in the folder; auto: if there is one, and start anew if not",
    )  # fmt: skip
    parser.add_argument(
        "--initial", type=str, default=None,
        help="bundle whose weights the run begins with: a folder or models:/NAME@ALIAS (default: random weights)",
    )  # fmt: skip
    parser.add_argument(
        "--strategy", type=str, default=None, choices=["auto", "single", "ddp", "horovod"],
        help="how processes train together (default: fit.strategy, auto: by what has started them)",
    )  # fmt: skip
    parser.add_argument("--fast_dev_run", action="store_true", help="two steps on little data, to see that all works")
    parser.add_argument("--tracking-uri", type=str, default=None, help="MLflow server or database to track the run in")
    parser.add_argument("--experiment", type=str, default=None, help="experiment of the run (default: kind of network)")
    parser.add_argument("--no-tracking", action="store_true", help="do not track the run; its folder holds everything")
    parser.add_class_arguments(_kind(name).recipe_type)
    kind_of_preparation = preparation_type()
    default = {} if kind_of_preparation == dict[str, Any] else kind_of_preparation()
    parser.add_argument("--preparation", type=kind_of_preparation, default=default, help="how the data are prepared")
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    name, rest = chosen_action("train", arguments, {name: text for name, (_, _, text) in KINDS.items()})
    parser = build_parser(name)
    options = parse_options(parser, rest)
    output = Path(require_output(options))
    kind = _kind(name)
    values = instantiated(parser, options)
    recipe = _recipe(kind, values)
    folder = RunFolder(output)
    resume = options.resume == "yes" or (options.resume == "auto" and folder.is_begun)
    if not options.prepare_only:
        folder.require_usable(resume=resume, overwrite=options.overwrite)
    preparation = values.preparation
    if recipe.fit.fast_dev_run and not options.data:
        preparation = dev_preparation(preparation)
    kind.check_recipe(recipe, preparation=_plain(preparation))
    data = ensure_prepared(
        preparation,
        options.data or output / "data",
        real_data=options.real_data,
        workers=options.prepare_workers,
        # a run on several nodes without a launcher is this command on each of them
        alone=launcher_of() == "none" and (recipe.fit.nodes == 1 or options.prepare_only),
        quiet=options.quiet,
    )
    if options.prepare_only:
        return
    with _hushed(options.quiet):
        command = ["neanias-ml", "train", *arguments]
        resolved = _resolved(recipe, preparation)
        fitted = _train(kind, recipe, options, folder, data=data, resume=resume, resolved=resolved, command=command)
    if fitted is not None and not options.quiet:
        print(f"written: {fitted.bundle} ({fitted.report.primary} {fitted.report.score:.3f}), {output}")


def _train(
    kind: NetworkKind,
    recipe: Any,
    options: Namespace,
    folder: RunFolder,
    *,
    data: Path,
    resume: bool,
    resolved: dict[str, Any],
    command: list[str],
) -> FittedNetwork | None:
    """Train, on the first process under the eyes of MLflow."""
    initial = model_folder_of(options.initial, tracking_uri=options.tracking_uri) if options.initial else None
    known = {
        "command": command,
        "network": kind.network,
        "recipe": recipe.name,
        "data": str(data),
        "initial": options.initial,
    }
    first = first_process()
    with _tracking(kind, options, folder, resolved, recipe=recipe, resume=resume) if first else _none() as tracked:
        if tracked is not None:
            known["tracking"] = {"uri": tracked.uri, "run_id": tracked.run_id, "experiment": tracked.experiment}
        fitted = train_network(
            kind,
            data,
            folder.path,
            recipe=recipe,
            initial=initial,
            resume=resume,
            overwrite=options.overwrite,
            loggers=() if tracked is None else (tracked.logger,),
            watch=RunWatch(folder if first else None, known=known, configuration=resolved),
        )
        if tracked is not None and fitted is not None:
            tracked.log_files(folder.path, names=[name for name in TRACKED_FILES if (folder.path / name).exists()])
    return fitted


def _kind(name: str) -> NetworkKind:
    module, class_name, _ = KINDS[name]
    kind: NetworkKind = getattr(importlib.import_module(module), class_name)()
    return kind


def _recipe(kind: NetworkKind, values: Namespace) -> Any:
    recipe = kind.recipe_type(**{field.name: values[field.name] for field in dataclasses.fields(kind.recipe_type)})
    changes: dict[str, Any] = {name: values[name] for name in ("seed", "strategy") if values[name] is not None}
    if values.fast_dev_run:
        changes["fast_dev_run"] = True
    return dataclasses.replace(recipe, fit=dataclasses.replace(recipe.fit, **changes))


def _resolved(recipe: Any, preparation: Any) -> dict[str, Any]:
    """The recipe with every value, as plain values that ``--config`` reads."""
    # by way of JSON: tuples become lists
    document: dict[str, Any] = json.loads(json.dumps({**_plain(recipe), "preparation": _plain(preparation)}))
    return document


def _plain(settings: Any) -> dict[str, Any]:
    """Settings that are a dataclass, or a mapping where data cannot be prepared, as a mapping."""
    return dict(settings) if isinstance(settings, dict) else dataclasses.asdict(settings)


@contextlib.contextmanager
def _tracking(
    kind: NetworkKind, options: Namespace, folder: RunFolder, resolved: dict[str, Any], *, recipe: Any, resume: bool
) -> Iterator[TrackedRun | None]:
    """The run in MLflow; None where it is not wanted, or not installed and not asked for."""
    if options.no_tracking:
        yield None
        return
    if options.tracking_uri is None and importlib.util.find_spec("mlflow") is None:
        print("not tracked: MLflow is not installed (pip install 'neanias_ml[tracking]')", flush=True)
        yield None
        return
    from neanias_ml.registry.location import tracking_uri
    from neanias_ml.registry.tracking import tracked_run

    uri = tracking_uri(options.tracking_uri)
    with tracked_run(
        uri=uri,
        experiment=options.experiment or kind.network,
        run_name=recipe.name,
        parameters=resolved,
        tags={"network": kind.network, "mlflow.source.git.commit": git_commit(), "mlflow.source.name": "neanias-ml"},
        run_id=_earlier_run(folder, uri) if resume else None,
        spool=folder.path / "tracking-spool.jsonl",
    ) as run:
        yield run


@contextlib.contextmanager
def _none() -> Iterator[None]:
    yield None


def _earlier_run(folder: RunFolder, uri: str) -> str | None:
    """Id of the tracked run that a resumed training goes on in."""
    try:
        tracking = json.loads(folder.record.read_text(encoding="utf-8"))["tracking"]
        return str(tracking["run_id"]) if tracking["uri"] == uri else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _hushed(quiet: bool) -> Iterator[None]:
    """Keep the lines of progress of a quiet run back."""
    if not quiet:
        yield
        return
    # not None: libraries may write to it without asking
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
