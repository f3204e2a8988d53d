"""What each part of the detector brings: the same training with one setting changed at a time.

    python -m tests.benchmarks.detector_ablations --data DATA --work FOLDER --steps 1500

Every run takes the recipe (``--config``, default `configs/train/island_rcnn_small.yaml`), a fixed number of steps and
the same seed; further options of ``neanias-ml train detector`` may follow (``--fit.accelerator gpu``). Two more things
are compared where they are given: other samplings (``--data-at 4=FOLDER``, data of the same preparation but for
``pixels_per_beam``) and weights to begin with (``--initial BUNDLE``, a detector of the same recipe trained on
simulations).

Runs that are done are skipped, and one that was interrupted goes on from its checkpoint, so the table can be made in
pieces: ``--minutes 9`` begins no run after so many minutes and sends the running one a SIGTERM, which writes a
checkpoint. The tables hold what is there.
Scores are those of the test tiles at mask IoU 0.5, intervals 95 % bootstraps over sky fields.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neanias_ml.cli.train import build_parser
from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.evaluation.report import read_report
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.training.detector.kind import DetectorKind
from neanias_ml.training.detector.recipe import DetectorRecipe
from neanias_ml.training.fit import train_network
from neanias_ml.training.run_folder import RunFolder
from tests.benchmarks.extraction_tables import markdown

RECIPE = "configs/train/island_rcnn_small.yaml"
SETTINGS_FILE = "ablation.json"
RPN_ALONE = 300
"""Proposals of an RPN per tile where it has to find every island by itself."""


@dataclass(frozen=True)
class Ablation:
    """One run: what it is called, and what differs from the recipe.

    Attributes
    ----------
    name
        Folder of the run.
    question, answer
        Its row of the table.
    data
        Folder of the prepared data.
    model, channels
        Changes.
    initial
        Bundle to begin with.
    """

    name: str
    question: str
    answer: str
    data: Path
    model: Mapping[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] | None = None
    initial: Path | None = None

    def recipe(self, base: DetectorRecipe) -> DetectorRecipe:
        """The recipe of the run; boxes of the network keep their size in beams."""
        sampling = float(read_manifest(self.data)["configuration"]["pixels_per_beam"])
        ratio = sampling / base.model.box_reference
        channels = self.channels or base.feed.channels
        model = dataclasses.replace(
            base.model,
            box_reference=sampling,
            anchor_sizes=tuple(ratio * size for size in base.model.anchor_sizes),
            region_level_size=ratio * base.model.region_level_size,
            in_channels=len(channels),
            **self.model,
        )
        return dataclasses.replace(
            base, name=self.name, model=model, feed=dataclasses.replace(base.feed, channels=channels)
        )


def ablations(
    data: Path, *, other_samplings: Mapping[str, Path] | None = None, initial: Path | None = None
) -> list[Ablation]:
    """All runs; the first is the recipe as it is."""
    islands = {"proposal_mode": "replace"}
    alone = {"proposal_mode": "rpn", "unions_per_tile": 0, "rpn_proposals": RPN_ALONE}
    runs = [
        Ablation("recipe", "proposals", "islands, unions and RPN (the recipe)", data, {"proposal_mode": "augment"}),
        Ablation("islands-unions", "proposals", "islands and unions", data, islands),
        Ablation("islands", "proposals", "islands", data, {**islands, "unions_per_tile": 0}),
        Ablation("rpn", "proposals", "RPN", data, alone),
    ]
    for left_out in CHANNEL_NAMES[:-1]:
        kept = tuple(name for name in CHANNEL_NAMES if name != left_out)
        runs.append(Ablation(f"no-{left_out}", "channels", f"without {left_out}", data, channels=kept))
    runs.append(Ablation("snr-only", "channels", "snr and valid alone", data, channels=("snr", "valid")))
    for sampling, folder in (other_samplings or {}).items():
        runs.append(Ablation(f"beam-{sampling}", "pixels per beam", sampling, folder))
    if initial is not None:
        runs.append(Ablation("pre-trained", "initial weights", f"of {initial.name}", data, initial=initial))
    return runs


def base_recipe(config: str, words: Sequence[str], *, steps: int) -> DetectorRecipe:
    """The recipe of a YAML file with further options, ended by its steps alone."""
    parser = build_parser("detector")
    values = parser.instantiate(parser.parse_args(["--config", config, *words]))
    names = [one.name for one in dataclasses.fields(DetectorRecipe)]
    recipe = DetectorRecipe(**{name: values[name] for name in names})
    return dataclasses.replace(recipe, fit=dataclasses.replace(recipe.fit, max_steps=steps, max_minutes=None))


def is_done(folder: Path) -> bool:
    """Whether a run has been scored."""
    return RunFolder(folder).evaluation.is_file()


def run(ablation: Ablation, base: DetectorRecipe, folder: Path) -> None:
    """Train and score, from where an earlier piece has stopped."""
    recipe = ablation.recipe(base)
    digest = read_manifest(ablation.data)["digest"]
    settings = json.loads(json.dumps({"recipe": dataclasses.asdict(recipe), "data_digest": digest}))
    note = folder / SETTINGS_FILE
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) != settings:
        raise SystemExit(f"{folder} holds a run of other settings or data; remove it, or name another --work")
    if is_done(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    begun, kind = RunFolder(folder).is_begun, DetectorKind()
    initial = ablation.initial
    train_network(kind, ablation.data, folder, recipe=recipe, initial=initial, resume=begun, overwrite=not begun)


def tables(runs: Sequence[Ablation], work: Path) -> str:
    """F1 and average precision of the runs that are done."""
    finished = [one for one in runs if is_done(work / one.name)]
    done = [(one, read_report(RunFolder(work / one.name).evaluation).details) for one in finished]
    missing = [one.name for one in runs if not is_done(work / one.name)]

    def table(title: str, value: Callable[[Mapping[str, Any]], Sequence[Any]], columns: Sequence[str]) -> str:
        rows = [[one.question, one.answer, *map(with_interval, value(details))] for one, details in done]
        return f"{title}\n\n" + markdown(["question", "answer", *columns], rows)

    parts = [
        table("F1", lambda d: [d["all"], *(d["classes"][name]["f1"] for name in CLASS_NAMES)], ["all", *CLASS_NAMES]),
        table("AP50", lambda d: [d["classes"][name]["ap50"] for name in CLASS_NAMES], CLASS_NAMES),
    ]
    return "\n\n".join([*parts, *([f"not yet: {', '.join(missing)}"] if missing else [])])


def with_interval(metric: Mapping[str, float | None]) -> str:
    """A value in per cent with its interval; a dash where there is none."""
    if metric["value"] is None:
        return "-"
    ends = [metric["low"], metric["high"]]
    interval = "" if None in ends else f" [{', '.join(f'{100 * float(end or 0.0):.1f}' for end in ends)}]"
    return f"{100 * metric['value']:.1f}{interval}"


def end_after(minutes: float) -> None:
    """Send this process a SIGTERM then: training writes a checkpoint and ends."""
    timer = threading.Timer(60 * minutes, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def main() -> None:
    """Train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of prepared data")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--config", default=RECIPE)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="+", default=None, help="names of runs")
    parser.add_argument("--data-at", nargs="+", default=[], metavar="PIXELS=FOLDER")
    parser.add_argument("--initial", type=Path, default=None)
    parser.add_argument("--minutes", type=float, default=None, help="end after so many minutes, to go on later")
    options, words = parser.parse_known_args()
    samplings = {one.partition("=")[0]: Path(one.partition("=")[2]) for one in options.data_at}
    runs = ablations(options.data, other_samplings=samplings, initial=options.initial)
    base = base_recipe(options.config, words, steps=options.steps)
    if options.minutes is not None:
        end_after(options.minutes)
    started = time.monotonic()
    for one in runs:
        if options.only is None or one.name in options.only:
            print(f"{one.name}: after {(time.monotonic() - started) / 60:.1f} min", flush=True)
            run(one, base, options.work / one.name)
    print(tables(runs, options.work))


if __name__ == "__main__":
    main()
