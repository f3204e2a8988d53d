"""What becomes of a trained network: temperature and threshold, scores, pictures, bundle and evaluation report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.evaluation import expected_calibration_error
from neanias_ml.evaluation.report import Metric
from neanias_ml.models.association.bundle import NETWORK, GraphBundle, GraphSettings, save_graph_bundle
from neanias_ml.models.association.grouping import graph_outputs, group_islands
from neanias_ml.models.association.network import GraphOutputs, IslandGraphNetwork
from neanias_ml.training.association.baselines import best_linking_length, linked, without_association
from neanias_ml.training.association.card import metrics_table, model_card
from neanias_ml.training.association.class_scores import ClassifiedField, classification_metrics
from neanias_ml.training.association.data_module import GraphDataModule
from neanias_ml.training.association.operating_point import (
    fit_class_readings,
    fit_operating_point,
    grouped_fields,
    known_pairs,
)
from neanias_ml.training.association.scores import (
    PRIMARY,
    GroupedField,
    by_number_of_islands,
    grouping_metrics,
)
from neanias_ml.training.network_kind import FinishedFit, FittedNetwork
from neanias_ml.training.pictures.loss_curves import draw_loss_curves
from neanias_ml.training.pictures.metric_log import read_metric_log
from neanias_ml.training.pictures.reliability import StatedProbabilities, draw_reliability
from neanias_ml.training.pictures.style import can_draw, write_pictures
from neanias_ml.training.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = ("reliability.png", "loss.png")


@dataclass(frozen=True)
class JudgedNetwork:
    """A calibrated network on the test fields: metrics of it and of the baselines by name, and all else measured."""

    settings: GraphSettings
    rows: Mapping[str, Mapping[str, Metric]]
    details: Mapping[str, Any]
    stated: tuple[StatedProbabilities, ...]


def finish_association(fit: FinishedFit) -> FittedNetwork:
    """Calibrate on the validation fields, score the test fields beside the baselines, draw, and save the bundle."""
    model, module, folder = fit.model, fit.module, fit.folder
    assert isinstance(model, IslandGraphNetwork) and isinstance(module, GraphDataModule)
    model.eval()
    judged = judged_network(model, validation=module.graphs("validation"), test=module.graphs("test"))
    metrics, table = judged.rows["network"], metrics_table(judged.rows)
    print(table, flush=True)
    configuration = fit.manifest["configuration"]
    settings = replace(
        judged.settings,
        extractor={name: configuration[name] for name in ("finder", "seed_jitter") if name in configuration},
        metadata=fit.metadata(metrics=_plain(metrics), details=dict(judged.details)),
    )
    card = model_card(settings, table=table)
    digest = save_graph_bundle(model, folder.bundle, settings=settings, card=card, overwrite=True)
    fitted = fit.concluded(digest, network=NETWORK, primary=PRIMARY, metrics=metrics, details=judged.details)
    if can_draw():
        write_pictures(folder.pictures, association_pictures(judged.stated, folder), names=PICTURES)
    print(f"wrote {folder.bundle}", flush=True)
    return fitted


def judged_network(
    model: IslandGraphNetwork, *, validation: Sequence[IslandGraph], test: Sequence[IslandGraph]
) -> JudgedNetwork:
    """Temperatures, threshold and the baseline's linking length from some fields, metrics from others."""
    print("calibrating on the validation fields", flush=True)
    settings = GraphSettings.of(model.config)
    outputs = [graph_outputs(model, graph) for graph in validation]
    settings = fit_operating_point(settings, validation, outputs)
    if model.config.features == "map":
        settings = fit_class_readings(settings, validation, outputs, model=model)
    length = best_linking_length(validation)
    print(f"temperature {settings.temperature:.3f}, threshold {settings.threshold:g}", flush=True)
    print("scoring the test fields", flush=True)
    outputs = [graph_outputs(model, graph) for graph in test]
    fields = grouped_fields(settings, test, outputs)
    stated = [stated_probabilities(settings, test, outputs)]
    metrics = grouping_metrics(fields)
    details: dict[str, Any] = {
        "linking_length": round(length, 3),
        "by_islands": by_number_of_islands(fields),
        "fields": len(test),
        "pairs": len(np.asarray(stated[0].probability)),
    }
    if model.config.features == "map":
        classified = classified_fields(GraphBundle(model, settings, ""), test)
        metrics |= classification_metrics(classified)
        stated += stated_classes(classified)
    details["calibration_error"] = {
        one.title: round(expected_calibration_error(one.probability, one.outcome), 4) for one in stated
    }
    baselines = baseline_metrics(test, length=length)
    details["baselines"] = {name: _plain(of_baseline) for name, of_baseline in baselines.items()}
    return JudgedNetwork(settings, {"network": metrics, **baselines}, details, tuple(stated))


def classified_fields(bundle: GraphBundle, graphs: Sequence[IslandGraph]) -> list[ClassifiedField]:
    """Artefacts and classes as a network of the map tells them, beside the truth."""
    fields = []
    for graph in graphs:
        found = group_islands(bundle, graph)
        fields.append(
            ClassifiedField.of(
                graph,
                object_of=found.object_of,
                p_spurious=found.p_spurious,
                class_probabilities=found.class_probabilities,
            )
        )
    return fields


def stated_classes(fields: Sequence[ClassifiedField]) -> list[StatedProbabilities]:
    """Probabilities of artefacts and of the said classes of objects, and what is true."""
    spurious = np.concatenate([field.p_spurious for field in fields])
    classes = np.concatenate([field.class_probabilities for field in fields])
    true = np.concatenate([field.true_class for field in fields])
    said = classes.argmax(axis=1) if len(classes) else np.empty(0, dtype=np.int64)
    return [
        StatedProbabilities(
            "an island is an artefact",
            spurious,
            np.concatenate([field.is_spurious for field in fields]),
            observed="share of artefacts",
        ),
        StatedProbabilities(
            "class of an object", classes.max(axis=1, initial=0.0), said == true, observed="share of right classes"
        ),
    ]


def baseline_metrics(graphs: Sequence[IslandGraph], *, length: float) -> dict[str, dict[str, Metric]]:
    """Metrics of what can be done without a network."""
    return {
        "no association": grouping_metrics([GroupedField.of(graph, without_association(graph)) for graph in graphs]),
        "linking length": grouping_metrics([GroupedField.of(graph, linked(graph, length=length)) for graph in graphs]),
    }


def stated_probabilities(
    settings: GraphSettings, graphs: Sequence[IslandGraph], outputs: Sequence[GraphOutputs]
) -> StatedProbabilities:
    """Calibrated probabilities of all known pairs and what is true of them."""
    said, true = known_pairs(graphs, outputs)
    probability = 1.0 / (1.0 + np.exp(-np.clip(said / settings.temperature, -50.0, 50.0)))
    return StatedProbabilities(
        "two islands are of one object", probability, true, observed="share of pairs of one object"
    )


def association_pictures(stated: Sequence[StatedProbabilities], folder: RunFolder) -> dict[str, Callable[[], Figure]]:
    """How each of the `PICTURES` of a run is drawn."""
    drawings = (lambda: draw_reliability(list(stated)), lambda: draw_loss_curves(read_metric_log(folder.log)))
    return dict(zip(PICTURES, drawings, strict=True))


def _plain(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: asdict(metric) for name, metric in metrics.items()}
