"""One process of a distributed training: trains some networks one after another and stops before they are judged.

    LAUNCHER python -m tests.training.distributed.worker JOBS.json OUTPUT
"""

import importlib
import json
import sys
from pathlib import Path

import torch

from neanias_ml.cli.train import KINDS
from neanias_ml.evaluation.report import EvaluationReport, Metric
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.training.fit import train_network
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.network_kind import FittedNetwork
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.run_record import RunWatch
from neanias_ml.training.strategy import first_process

TINY_DETECTOR = IslandRCNNConfig(
    blocks=(1, 1, 1, 1), stem_pool=True, fpn_channels=16, head_features=32, mask_channels=16, proposal_mode="replace",
    regions_per_image=32,
)  # fmt: skip

MODELS = {"detector": TINY_DETECTOR, "association": IslandGraphConfig(features="catalogue")}


def unjudged(kind):
    """The kind without what follows the optimisation."""

    def finish(fit):
        report = EvaluationReport(
            network=kind.network, bundle_digest="", data_digest="", split="test", primary="none",
            metrics={"none": Metric(value=0.0)},
        )  # fmt: skip
        return FittedNetwork(fit.folder.bundle, "", report)

    kind.finish = finish
    return kind


def main(jobs, output):
    """Train every job into a folder of its name."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        module, class_name, _ = KINDS[job["kind"]]
        kind = unjudged(getattr(importlib.import_module(module), class_name)())
        model = MODELS.get(job["kind"])
        recipe = kind.recipe_type(**({"model": model} if model else {}), fit=FitConfig(**job["fit"]))
        folder = RunFolder(output / name)
        watch = RunWatch(folder if first_process() else None)
        train_network(kind, job["data"], folder.path, recipe=recipe, watch=watch)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
