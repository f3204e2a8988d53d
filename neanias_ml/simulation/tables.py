"""Builds the truth tables of a simulated field from its models, label maps and artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.maps import RadioMap, ellipses_of_covariances, position_angle
from neanias_ml.simulation.imaging.artefacts import Artefacts
from neanias_ml.simulation.labels import ObjectMasks, island_labels, object_masks, spurious_labels
from neanias_ml.simulation.sources.models import (
    GAUSSIAN_COLUMNS,
    RENDER_REACH,
    VISIBLE_SNR,
    Gaussians,
    SourceModel,
    Stamp,
)
from neanias_ml.simulation.sources.painting import paint_gaussians
from neanias_ml.simulation.truth import ComponentTruth, IslandTruth, ObjectTruth, Truth, classify

FloatMap = NDArray[np.float32]
_REAL_MARGIN = 2  # pixels around a real mask in which an artefact is no instance of its own


@dataclass(frozen=True)
class Scene:
    """All that the truth is derived from.

    Attributes
    ----------
    radio_map
        Carries geometry and beam.
    sources, stamps
        Models, and their convolved stamps (None outside the map); object id = index + 1.
    model
        Sum of all stamps (ny, nx), Jy/beam.
    noise
        True local rms (ny, nx), Jy/beam.
    artefacts
        Sidelobes and their culprits.
    blank
        Pixels (ny, nx) without data.
    """

    radio_map: RadioMap
    sources: list[SourceModel]
    stamps: list[Stamp | None]
    model: FloatMap
    noise: FloatMap
    artefacts: Artefacts
    blank: NDArray[np.bool_]


def build_truth(scene: Scene) -> Truth:
    """Label maps and tables of a scene."""
    stamps = {number + 1: stamp for number, stamp in enumerate(scene.stamps) if stamp is not None}
    masks = object_masks(stamps, noise=scene.noise, blank=scene.blank)
    real = ndimage.binary_dilation(masks.labels > 0, iterations=_REAL_MARGIN) | scene.blank
    spurious, count = spurious_labels(scene.artefacts.image, noise=scene.noise, real=real)
    spurious_rows = _spurious_rows(scene, spurious, count)
    visible = np.array([False, *(row[3] for row in spurious_rows)], dtype=bool)[spurious]
    artefact_ids = spurious + np.where(spurious > 0, len(scene.sources), 0).astype(np.int32)
    labels = np.where(visible, artefact_ids, masks.labels)
    faint = np.where((spurious > 0) & ~visible & (masks.faint == 0), artefact_ids, masks.faint)
    emission = np.where(visible, scene.artefacts.image, scene.model)
    islands, n_islands = island_labels(labels, strong=(emission > VISIBLE_SNR * scene.noise) & (labels > 0))
    return Truth(
        object_labels=labels,
        island_labels=islands,
        faint_labels=np.where(labels > 0, 0, faint),
        objects=_object_table(scene.radio_map, _real_rows(scene, masks) + spurious_rows),
        components=_component_table(scene),
        islands=_island_table(scene, labels, islands, n_islands, emission),
    )


def _real_rows(scene: Scene, masks: ObjectMasks) -> list[tuple[object, ...]]:
    ids = np.arange(1, len(scene.sources) + 1)
    pixels = np.bincount(masks.labels.ravel(), minlength=len(ids) + 1)[1:]
    false = np.bincount(masks.labels.ravel(), np.abs(scene.artefacts.image).ravel(), minlength=len(ids) + 1)[1:]
    rows: list[tuple[object, ...]] = []
    moments = [source.moments() for source in scene.sources]
    sizes = _sizes_beams(scene, np.array([covariance for _, _, covariance in moments]).reshape(-1, 2, 2))
    for index, (source, stamp) in enumerate(zip(scene.sources, scene.stamps, strict=True)):
        number, (x, y, _), size = index + 1, moments[index], float(sizes[index])
        n_islands = masks.n_islands.get(number, 0)
        peak, snr, pollution = 0.0, 0.0, float("nan")
        if stamp is not None:
            peak = float(stamp.data.max())
            snr = float((stamp.data / scene.noise[stamp.window.slices]).max())
        if stamp is not None and n_islands:
            own = stamp.data[masks.labels[stamp.window.slices] == number].sum(dtype=float)
            pollution = float(false[index] / own)
        name = classify(spurious=False, n_islands=n_islands, size_beams=size, pollution=pollution)
        fluxes, extent = (source.total_flux, peak, snr), (n_islands, int(pixels[index]), size)
        rows.append((number, name, source.kind, n_islands > 0, x, y, *fluxes, *extent, pollution, 0))
    return rows


def _sizes_beams(scene: Scene, covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    """FWHM (n,) along the longest axis of pixel covariances (n, 2, 2), in beams."""
    major, _, _ = ellipses_of_covariances(covariances)
    return major / scene.radio_map.beam_fwhm


def _spurious_rows(scene: Scene, spurious: NDArray[np.int32], count: int) -> list[tuple[object, ...]]:
    image, culprit = scene.artefacts.image, scene.artefacts.culprit
    rows: list[tuple[object, ...]] = []
    for number, window in enumerate(ndimage.find_objects(spurious, max_label=count), start=1):
        inside = spurious[window] == number
        y, x = np.nonzero(inside)
        flux = image[window][inside].astype(float)
        cx, cy, covariance = _weighted_moments(x + window[1].start, y + window[0].start, flux)
        total = float(flux.sum() / scene.radio_map.beam_area)
        snr = float((flux / scene.noise[window][inside]).max())
        owner = int(np.bincount(culprit[window][inside], weights=flux).argmax())
        visible = snr > VISIBLE_SNR
        extent = (int(visible), len(flux) if visible else 0, float(_sizes_beams(scene, covariance)))
        identity = (number + len(scene.sources), "spurious", "artefact", visible)
        rows.append((*identity, cx, cy, total, float(flux.max()), snr, *extent, float("nan"), owner))
    return rows


def _weighted_moments(
    x: NDArray[np.int64], y: NDArray[np.int64], weight: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.float64]]:
    total = weight.sum()
    cx, cy = float(weight @ x / total), float(weight @ y / total)
    offsets = np.stack([x - cx, y - cy])
    return cx, cy, (offsets * weight) @ offsets.T / total


def _object_table(radio_map: RadioMap, rows: list[tuple[object, ...]]) -> ObjectTruth:
    names = (
        "object_id", "class_name", "kind", "visible", "x", "y", "total_flux", "peak_flux", "snr", "n_islands",
        "n_pixels", "size_beams", "pollution", "culprit_id",
    )  # fmt: skip
    kinds = (int, str, str, bool, float, float, float, float, float, int, int, float, float, int)
    columns: dict[str, NDArray[Any]] = {
        name: np.array([row[place] for row in rows], dtype=kind)
        for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
    }
    ra, dec = _to_sky(radio_map, columns["x"], columns["y"])
    return ObjectTruth(ra=ra, dec=dec, **columns)


def _component_table(scene: Scene) -> ComponentTruth:
    beam = scene.radio_map.beam_covariance
    owners, pieces, peaks = [], [Gaussians.empty()], [np.zeros(0)]
    for number, (source, stamp) in enumerate(zip(scene.sources, scene.stamps, strict=True), start=1):
        parts = source.pieces()
        heights = parts.peak_flux(beam)
        if source.patch is not None:
            heights[-1] = _patch_peak(source, stamp, beam=beam)
        owners += [number] * len(parts)
        pieces.append(parts)
        peaks.append(heights)
    table = Gaussians(*(np.concatenate([getattr(part, name) for part in pieces]) for name in GAUSSIAN_COLUMNS))
    ra, dec = _to_sky(scene.radio_map, table.x, table.y)
    major, minor, pa = _sky_ellipses(scene.radio_map, table.covariance)
    return ComponentTruth(
        component_id=np.arange(1, len(owners) + 1),
        object_id=np.array(owners, dtype=np.int64),
        x=table.x,
        y=table.y,
        ra=ra,
        dec=dec,
        peak_flux=np.concatenate(peaks),
        total_flux=table.total_flux,
        major=major,
        minor=minor,
        pa=pa,
    )


def _patch_peak(source: SourceModel, stamp: Stamp | None, *, beam: NDArray[np.float64]) -> float:
    """Peak (Jy/beam) of an object's patch in the map, without the object's Gaussians."""
    if stamp is None:
        return 0.0
    spots, rest = source.gaussians, stamp.data.copy()
    x, y = spots.x - stamp.window.x0, spots.y - stamp.window.y0
    paint_gaussians(rest, x, y, -spots.peak_flux(beam), spots.covariance + beam, RENDER_REACH)
    return float(max(rest.max(), 0.0))


def _sky_ellipses(
    radio_map: RadioMap, widths: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """FWHM axes (n,) in arcsec and position angles in degrees of pixel covariances (n, 2, 2), at the map's centre."""
    scale = 3600.0 * radio_map.pixel_scale
    flip = np.array([[-scale, 0.0], [0.0, scale]])
    major, minor, angle = ellipses_of_covariances(flip @ widths @ flip.T)
    return major, minor, position_angle(angle)


def _island_table(
    scene: Scene, labels: NDArray[np.int32], islands: NDArray[np.int32], count: int, emission: FloatMap
) -> IslandTruth:
    rows: list[tuple[float, ...]] = []
    for number, window in enumerate(ndimage.find_objects(islands, max_label=count), start=1):
        inside = islands[window] == number
        y, x = np.nonzero(inside)
        flux = emission[window][inside].astype(float)
        cx, cy, _ = _weighted_moments(x + window[1].start, y + window[0].start, flux)
        shares = np.bincount(labels[window][inside], weights=flux)
        snr = float((flux / scene.noise[window][inside]).max())
        owners = len(np.unique(labels[window][inside]))
        total = flux.sum() / scene.radio_map.beam_area
        rows.append((number, float(shares.argmax()), cx, cy, flux.max(), total, snr, len(flux), owners))
    table = np.array(rows, dtype=float).reshape(len(rows), 9).T
    whole = [column.astype(np.int64) for column in table]
    return IslandTruth(whole[0], whole[1], table[2], table[3], table[4], table[5], table[6], whole[7], whole[8])


def _to_sky(
    radio_map: RadioMap, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if radio_map.sky is None or not len(x):
        return np.full(len(x), np.nan), np.full(len(x), np.nan)
    return radio_map.sky.to_sky(x, y)
