"""How the outputs of a network for grouping islands are read: temperatures and threshold, from validation fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from neanias_ml.datasets.field_names import source_of_field
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.models.association.bundle import GraphSettings
from neanias_ml.models.association.grouping import groups_of
from neanias_ml.models.association.network import GraphOutputs, IslandGraphNetwork
from neanias_ml.models.calibration import fit_binary_temperature, fit_class_temperature
from neanias_ml.training.association.batches import graph_sample
from neanias_ml.training.association.scores import GroupedField, total_metric

FloatArray = NDArray[np.float64]
THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8, 0.15, 0.85, 0.1, 0.9)
"""Probabilities that are tried, the plain one first: it stays unless another is better."""


def known_pairs(graphs: Sequence[IslandGraph], outputs: Sequence[GraphOutputs]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Log-odds and truth of all known pairs of some graphs."""
    known = [graph.known_pairs for graph in graphs]
    said = [np.asarray(found.pairs)[rows] for found, rows in zip(outputs, known, strict=True)]
    true = [graph.joined_pairs[rows] for graph, rows in zip(graphs, known, strict=True)]
    return np.concatenate([np.empty(0), *said]), np.concatenate([np.empty(0, dtype=bool), *true])


def fit_operating_point(
    settings: GraphSettings, graphs: Sequence[IslandGraph], outputs: Sequence[GraphOutputs]
) -> GraphSettings:
    """The settings with the temperature of the least cross-entropy and the threshold of the best exact sets.

    Best is the mean over the sources of fields that hold objects of several islands: simulated ones are many, and real
    skies are what counts. Where no known pair is of one object there is nothing to choose by, and the settings stay.
    """
    said, true = known_pairs(graphs, outputs)
    if not true.any():
        return settings
    settings = dataclasses.replace(settings, temperature=fit_binary_temperature(said, true))

    sources = [source_of_field(graph.field) for graph in graphs]
    with_groups = {source for source, graph in zip(sources, graphs, strict=True) if graph.n_grouped}

    def found(threshold: float) -> float:
        fields = grouped_fields(dataclasses.replace(settings, threshold=threshold), graphs, outputs)
        scores = [
            total_metric("exact_set_f1", [field for field, of in zip(fields, sources, strict=True) if of == source])
            for source in sorted(with_groups)
        ]
        return float(np.nan_to_num(np.nanmean(scores)))

    scores = [found(threshold) for threshold in THRESHOLDS]
    return dataclasses.replace(settings, threshold=THRESHOLDS[int(np.argmax(scores))])


def fit_class_readings(
    settings: GraphSettings,
    graphs: Sequence[IslandGraph],
    outputs: Sequence[GraphOutputs],
    *,
    model: IslandGraphNetwork,
) -> GraphSettings:
    """The settings with the readings of artefacts and of classes, the latter on the true sets of islands."""
    samples = [graph_sample(graph, features=model.config.features) for graph in graphs]
    known = [sample.spurious.numpy() >= 0 for sample in samples]
    logits = np.concatenate([np.asarray(found.spurious)[rows] for found, rows in zip(outputs, known, strict=True)])
    spurious = np.concatenate([s.spurious.numpy()[rows] for s, rows in zip(samples, known, strict=True)]) > 0.5
    if spurious.any() and not spurious.all():
        temperature, shift = fit_log_odds(logits, spurious)
        settings = dataclasses.replace(settings, spurious_temperature=temperature, spurious_shift=shift)
    classes = np.concatenate([sample.classes.numpy() for sample in samples])
    if len(classes):
        of_sets = [
            model.classify(found.states, sample.group.to(found.states.device), len(sample.classes)).detach().cpu()
            for found, sample in zip(outputs, samples, strict=True)
            if len(sample.classes)
        ]
        temperature = fit_class_temperature(np.concatenate([part.numpy() for part in of_sets]), classes)
        settings = dataclasses.replace(settings, class_temperature=temperature)
    return settings


def fit_log_odds(logits: FloatArray, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Temperature and shift that minimise the cross-entropy of sigmoid(logits / T + shift) (Platt scaling)."""
    signs = np.where(truth, 1.0, -1.0)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        odds = logits * np.exp(-parameters[0]) + parameters[1]
        slope = -signs * expit(-signs * odds) / len(logits)
        gradient = np.array([-(slope * logits * np.exp(-parameters[0])).sum(), slope.sum()])
        return float(-log_expit(signs * odds).mean()), gradient

    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-2.3, 2.3), (-10.0, 10.0)])
    return float(np.exp(best.x[0])), float(best.x[1])


def grouped_fields(
    settings: GraphSettings, graphs: Sequence[IslandGraph], outputs: Sequence[GraphOutputs]
) -> list[GroupedField]:
    """Fields as a network groups them, beside the truth."""
    return [
        GroupedField.of(graph, groups_of(len(graph), graph.pairs, np.asarray(found.pairs), settings=settings))
        for graph, found in zip(graphs, outputs, strict=True)
    ]
