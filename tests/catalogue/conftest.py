"""Synthetic maps with known Gaussians, their extraction and a made-up catalogue of objects."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from astropy.wcs import WCS

from neanias_ml.catalogue.masks import PROBABILITY_COLUMNS
from neanias_ml.extraction import FinderConfig, MeshNoise, SourceFinder
from neanias_ml.extraction.tables import ComponentTable, Extraction, Islands, SourceFlag
from neanias_ml.inference.objects import Detections, ObjectCatalogue, ObjectTable
from neanias_ml.maps import Beam, RadioMap, covariances_of_ellipses
from neanias_ml.models.classes import CLASS_NAMES

PIXEL = 2.0 / 3600.0
BEAM = Beam(10.0 / 3600.0, 8.0 / 3600.0, 30.0)
NOISE = 1e-4

ExtractionFactory = Callable[..., Extraction]


def sky_wcs(shape: tuple[int, int], *, ra: float = 0.02, dec: float = -38.0, projection: str = "TAN") -> WCS:
    """A celestial WCS centred on the map; the default centre puts RA 0 inside it."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.cdelt = [-PIXEL, PIXEL]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.radesys = "ICRS"
    return wcs


def gaussian_components(
    rng: np.random.Generator, shape: tuple[int, int], n: int, *, share_wide: float
) -> ComponentTable:
    """``n`` random Gaussians, a share of them wider than the beam; sky positions are filled in later."""
    wide = rng.random(n) < share_wide
    major = np.where(wide, rng.uniform(20, 50, n), BEAM.major * 3600)
    minor = np.where(wide, rng.uniform(12, 20, n), BEAM.minor * 3600)
    pa = np.where(wide, rng.uniform(0, 180, n), BEAM.position_angle)
    peak = NOISE * 10 ** rng.uniform(1.0, 2.8, n)
    zeros, ones = np.zeros(n), np.ones(n)
    return ComponentTable(
        component_id=np.arange(1, n + 1),
        island_id=np.zeros(n, dtype=np.int64),
        nested_id=np.zeros(n, dtype=np.int64),
        ra=zeros,
        dec=zeros,
        ra_err=1e-5 * ones,
        dec_err=1e-5 * ones,
        x=rng.uniform(5, shape[1] - 6, n),
        y=rng.uniform(5, shape[0] - 6, n),
        x_err=0.1 * ones,
        y_err=0.1 * ones,
        peak_flux=peak,
        peak_flux_err=NOISE * ones,
        total_flux=peak * major * minor / (BEAM.major * BEAM.minor * 3600**2),
        total_flux_err=NOISE * ones,
        major=major,
        major_err=0.3 * ones,
        minor=minor,
        minor_err=0.2 * ones,
        pa=pa,
        pa_err=5.0 * ones,
        dc_major=np.sqrt(np.maximum(major**2 - (BEAM.major * 3600) ** 2, 0)),
        dc_major_err=0.3 * ones,
        dc_minor=np.sqrt(np.maximum(minor**2 - (BEAM.minor * 3600) ** 2, 0)),
        dc_minor_err=0.2 * ones,
        dc_pa=pa,
        dc_pa_err=5.0 * ones,
        shape=np.where(wide, "free", "beam"),
        local_rms=NOISE * ones,
        local_background=zeros,
        snr=peak / NOISE,
        residual_rms=ones,
        fit_quality=np.full(n, 3),
        flags=np.where(wide, 0, int(SourceFlag.SIZE_UPPER_LIMIT)),
    )


def paint(radio_map: RadioMap, components: ComponentTable) -> np.ndarray:
    """Brute-force sum of Gaussians over the whole map, shape (ny, nx)."""
    ys, xs = np.mgrid[: radio_map.shape[0], : radio_map.shape[1]]
    on_sky = covariances_of_ellipses(components.major / 3600, components.minor / 3600, 90 - components.pa)
    inverse = np.linalg.inv(on_sky)
    jacobians = radio_map.tangent_jacobian(components.x, components.y)
    image = np.zeros(radio_map.shape)
    for row in range(len(components)):
        offset = np.stack([xs - components.x[row], ys - components.y[row]], axis=-1) @ jacobians[row].T
        image += components.peak_flux[row] * np.exp(-0.5 * np.einsum("yxi,ij,yxj->yx", offset, inverse[row], offset))
    return image


def extract_synthetic(
    *,
    seed: int = 1,
    shape: tuple[int, int] = (120, 160),
    n: int = 12,
    share_wide: float = 0.4,
    wcs: bool = True,
    blank: bool = False,
    frequency: float | None = 1.4e9,
    centre: tuple[float, float] = (0.02, -38.0),
) -> Extraction:
    """A map of ``n`` Gaussians in noise with its islands and, as components, the true Gaussians."""
    rng = np.random.default_rng(seed)
    geometry = sky_wcs(shape, ra=centre[0], dec=centre[1]) if wcs else None
    blank_map = RadioMap.from_array(np.zeros(shape), beam=BEAM, wcs=geometry, pixel_scale=PIXEL)
    components = gaussian_components(rng, shape, n, share_wide=share_wide)
    data = paint(blank_map, components) + NOISE * rng.standard_normal(shape)
    if blank:
        data[: shape[0] // 6, : shape[1] // 6] = np.nan
    radio_map = RadioMap.from_array(
        data, beam=BEAM, wcs=geometry, pixel_scale=PIXEL, frequency=frequency, flags=() if wcs else ("NoWcs",)
    )
    noise = MeshNoise(np.zeros((1, 1)), np.full((1, 1), NOISE), max(shape), shape)
    finder = SourceFinder(FinderConfig(merge_threshold=2.5))
    islands = finder.find_islands(radio_map, noise).islands
    labels = islands.labels
    centre_label = labels[np.rint(components.y).astype(int), np.rint(components.x).astype(int)]
    components = components.replace(island_id=centre_label.astype(np.int64))
    if radio_map.sky is not None and n:
        ra, dec = radio_map.sky.to_sky(components.x, components.y)
        components = components.replace(ra=ra, dec=dec)
    elif n:
        components = components.replace(ra=np.full(n, np.nan), dec=np.full(n, np.nan))
    return Extraction(
        radio_map,
        noise,
        islands,
        components.select(centre_label > 0),
        nested=Islands.none(shape),
        diffuse=Islands.none(shape),
    )


def group_islands(extraction: Extraction, *, seed: int = 2) -> ObjectCatalogue:
    """Objects of one island each, but for every third island, which joins the one before it; random classes."""
    rng = np.random.default_rng(seed)
    islands = extraction.islands.table
    object_ids = islands.island_id.copy()
    object_ids[2::3] = object_ids[1::3][: len(object_ids[2::3])]
    groups = [np.flatnonzero(object_ids == value) for value in np.unique(object_ids)]
    count = len(groups)
    classes = np.array([CLASS_NAMES[3 if len(g) > 1 else rng.choice([0, 1, 2, 4])] for g in groups], dtype=str)
    chosen = np.array([CLASS_NAMES.index(name) for name in classes], dtype=int)
    probabilities = rng.dirichlet(np.ones(5), count) * 0.3 if count else np.zeros((0, 5))
    probabilities[np.arange(count), chosen] += 0.7
    first = np.array([g[0] for g in groups], dtype=int)

    def reduced(name: str, how: Callable[..., object]) -> np.ndarray:
        column = getattr(islands, name)
        return np.array([how(column[g]) for g in groups], dtype=column.dtype)

    objects = ObjectTable(
        object_id=islands.island_id[first],
        class_name=classes if count else np.array([], dtype="U1"),
        **dict(zip(PROBABILITY_COLUMNS, probabilities.T, strict=True)),
        morphology=np.where(chosen == 3, "FR-II", ""),
        morphology_probability=np.where(chosen == 3, 0.8, np.nan),
        n_islands=np.array([len(g) for g in groups], dtype=np.int64),
        island_ids=np.array([",".join(str(islands.island_id[i]) for i in g) for g in groups], dtype=str),
        **{name: getattr(islands, name)[first] for name in ("ra", "dec", "x", "y")},
        **{name: reduced(name, np.min) for name in ("x0", "y0")},
        **{name: reduced(name, np.max) for name in ("x1", "y1", "peak_flux", "snr")},
        **{name: reduced(name, np.sum) for name in ("total_flux", "total_flux_err")},
        largest_angular_size=np.full(count, 30.0),
        position_angle=np.full(count, 45.0),
        association_probability=np.array([0.9 if len(g) > 1 else math.nan for g in groups]),
        flags=islands.flags[first],
    )
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5)), np.zeros(0), ())
    return ObjectCatalogue(objects, object_ids, rng.random(len(islands)), nothing)


@pytest.fixture(scope="session")
def make_extraction() -> ExtractionFactory:
    """Factory of synthetic extractions (see `extract_synthetic`)."""
    return extract_synthetic


@pytest.fixture(scope="session")
def extraction() -> Extraction:
    """A map with sky across RA 0 and a blank corner."""
    return extract_synthetic(blank=True)


@pytest.fixture(scope="session")
def catalogue(extraction: Extraction) -> ObjectCatalogue:
    """Objects of that map, some of two islands."""
    return group_islands(extraction)


@pytest.fixture(scope="session")
def pixel_extraction() -> Extraction:
    """A map without sky coordinates."""
    return extract_synthetic(seed=3, wcs=False)


@pytest.fixture(scope="session")
def empty_extraction() -> Extraction:
    """A map of noise alone, without any island."""
    return extract_synthetic(seed=4, n=0, shape=(60, 70))


@pytest.fixture(scope="session")
def make_catalogue() -> Callable[..., ObjectCatalogue]:
    """Factory of object catalogues (see `group_islands`)."""
    return group_islands


@pytest.fixture(scope="session")
def brute_force_image() -> Callable[[RadioMap, ComponentTable], np.ndarray]:
    """Slow reference rendering of components (see `paint`)."""
    return paint
