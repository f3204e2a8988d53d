"""Simulated maps against real ones: noise, pixels, islands and sidelobes.

    NEANIAS_REAL_DATA=path python -m tests.benchmarks.simulation_reality [--pictures DIR] [--only VLASS SCORPIO]

Every set of real maps gets as many fields, or more, of its survey (`survey_config`) and of its size. Where the real
maps were cut out around chosen sources, so are the simulated ones: a radio galaxy with the peak S/N of a real map's
brightest source lies in the middle. Distances are split ones (`split_distance`): *between* compares half of the real
maps with as many simulated ones, *within* the two halves of the real maps; equal numbers mean maps of one kind.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.cli.options import silent_libraries
from neanias_ml.errors import InputError
from neanias_ml.extraction import SourceFinder
from neanias_ml.maps import Beam, RadioMap, read_map
from neanias_ml.simulation import SkyConfig, random_config, simulate_sky
from neanias_ml.simulation.realism.distances import energy_distance, ks_distance, split_distance
from neanias_ml.simulation.realism.map_statistics import MapStatistics, measure_map
from neanias_ml.simulation.realism.noise_statistics import SPECTRUM_EDGES
from neanias_ml.simulation.realism.sidelobe_statistics import RING_EDGES
from neanias_ml.simulation.sky import sky_beam, sky_wcs
from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.families import EDGE_BRIGHTENED, STRAIGHT_JETS, TAILS
from neanias_ml.simulation.sources.galaxy_clusters import with_peak
from neanias_ml.simulation.sources.models import SourceModel
from neanias_ml.simulation.sources.population import draw_sources
from neanias_ml.simulation.sources.shapes import Site
from neanias_ml.simulation.surveys import survey_config
from tests.benchmarks.extraction_tables import markdown, number

Pair = tuple[list[MapStatistics], list[MapStatistics]]
"""Statistics of the real and of the simulated maps of a set."""
FIRST_BEAM = Beam(5.4 / 3600.0, 5.4 / 3600.0)
RANDOM_FIELDS = 60
RANDOM_SIZE = 512
SEED = 7000
PICTURES = 6


@dataclass(frozen=True)
class RealSet:
    """Maps of one survey, and the fields that are simulated for them."""

    survey: str
    pattern: str
    size: int
    """pixels of the simulated fields"""
    fields: int
    """number of the simulated fields"""
    step: int = 1
    """every so many-th of the files"""
    chosen: tuple[float, float] | None = None
    """extent in beams of the radio galaxies around which the maps were cut out, if they were"""


SETS = {
    "VLASS": RealSet("vlass", "VLASS_multiepoch/fits/*_ep1.fits.fz", 361, 60, chosen=(4.0, 20.0)),
    "FIRST, MiraBest": RealSet("first", "MiraBest_FIRST/fits/*.fits.gz", 300, 80, step=7, chosen=(4.0, 25.0)),
    "FIRST, bright": RealSet("first", "misc_maps/FIRST_*.fits", 300, 20, chosen=(4.0, 12.0)),
    "LoTSS DR1": RealSet("lotss", "LoTSS_DR1/*.fits", 600, 12),
    "SCORPIO": RealSet("scorpio", "SCORPIO_caesar/*.fits", 1000, 8),
}
OTHERS = {
    "Aegean's test map": "finder_tests/aegean/1904-66_SIN.fits",
    "PyBDSF's test map": "finder_tests/pybdsf/tbdsf.ch0_I.fits",
    "PySE's AMI map": "finder_tests/pyse/AMI_SWIFT_554620.fits",
    "Fornax A, MWA": "misc_maps/FornaxA_MWA_phase1+2.fits",
}
"""Maps of arrays that are not simulated: they are compared with the wide random draws alone."""
QUANTITIES: dict[str, Callable[[MapStatistics], NDArray[np.float64]]] = {
    "S/N of islands": lambda m: np.log10(m.snr),
    "relative area": lambda m: np.log10(m.area),
    "elongation": lambda m: np.log10(m.elongation),
    "islands per beam": lambda m: np.atleast_1d(np.log10(max(m.density, 0.02))),
    "direction of noise": lambda m: np.atleast_1d(m.contrast),
}
"""What is compared as distributions; logarithms, so that the energy distance is one of ratios."""
SCALARS: dict[str, Callable[[MapStatistics], float]] = {
    "pixels > 3 sigma, per mille": lambda m: 1e3 * float(m.positive[0]),
    "> 5": lambda m: 1e3 * float(m.positive[2]),
    "> 10": lambda m: 1e3 * float(m.positive[4]),
    "< -3": lambda m: 1e3 * float(m.negative[0]),
    "< -4": lambda m: 1e3 * float(m.negative[1]),
    "islands / 1000 beams": lambda m: m.density,
    "negative / 1000 beams": lambda m: 1000.0 * m.n_negative / m.n_beams,
    "direction of noise": lambda m: m.contrast,
}


def read(path: Path) -> RadioMap:
    """A map; those of FIRST that lack a beam get the survey's."""
    try:
        return read_map(path)
    except InputError:
        return read_map(path, beam=FIRST_BEAM)


def chosen_source(
    config: SkyConfig, rng: np.random.Generator, *, extent: tuple[float, float], snr: float
) -> SourceModel:
    """A radio galaxy in the middle of a field."""
    beam = RadioMap.from_array(np.zeros((4, 4)), beam=sky_beam(config), wcs=sky_wcs(config)).beam_covariance
    length = log_uniform(rng, *extent) * config.beam_fwhm
    site = Site(np.full(2, 0.5 * (config.size - 1)), length, rng.uniform(0.0, 2.0 * np.pi), beam)
    family = (EDGE_BRIGHTENED, STRAIGHT_JETS, TAILS)[int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
    return with_peak(family.draw(rng)(rng, site), snr * config.rms, site=site)


def simulated(real_set: RealSet, seed: int, *, brightest: Sequence[float]) -> RadioMap:
    """One field for a set, with a chosen source as bright as one of the real maps' brightest."""
    rng = np.random.default_rng(seed)
    config = survey_config(real_set.survey, rng, size=real_set.size)
    if real_set.chosen is None:
        return simulate_sky(config, seed=seed).radio_map
    noise = np.full((config.size, config.size), config.rms, dtype=np.float32)
    beam = RadioMap.from_array(noise, beam=sky_beam(config), wcs=sky_wcs(config)).beam_covariance
    sources = draw_sources(config, rng, noise=noise, beam=beam)
    sources.append(chosen_source(config, rng, extent=real_set.chosen, snr=float(rng.choice(brightest))))
    return simulate_sky(config, seed=seed, sources=sources).radio_map


def measure_set(folder: Path, real_set: RealSet) -> Pair:
    """Statistics of the real and of the simulated maps of a set."""
    real = [measure_map(read(path)) for path in sorted(folder.glob(real_set.pattern))[:: real_set.step]]
    brightest = [float(m.snr.max()) for m in real if len(m.snr)]
    seeds = range(SEED, SEED + real_set.fields)
    return real, [measure_map(simulated(real_set, seed, brightest=brightest)) for seed in seeds]


def random_statistics() -> list[MapStatistics]:
    """Statistics of the wide random draws that networks are trained on."""
    maps = []
    for seed in range(SEED, SEED + RANDOM_FIELDS):
        config = random_config(np.random.default_rng(seed), size=RANDOM_SIZE)
        maps.append(measure_map(simulate_sky(config, seed=seed).radio_map))
    return maps


def distance_table(sets: dict[str, Pair]) -> str:
    """KS and energy distances of every quantity, between real and simulated maps and within the real ones."""
    rows = []
    for name, (real, made) in sets.items():
        cells = [name, f"{len(real)} / {len(made)}"]
        for quantity in QUANTITIES.values():
            parts = []
            for measure in (ks_distance, energy_distance):
                first, second = ([quantity(m) for m in maps] for maps in (real, made))
                split = split_distance(first, second, distance=measure, rng=np.random.default_rng(0))
                parts.append(f"{number(split.between)} ({number(split.within)})")
            cells.append(", ".join(parts))
        rows.append(cells)
    return markdown(["set", "maps real / simulated", *QUANTITIES], rows)


def scalar_table(sets: dict[str, Pair]) -> str:
    """Medians over maps of what is one number per map, with the range of eight maps in ten."""
    rows = []
    for name, pair in sets.items():
        for kind, maps in zip(("real", "simulated"), pair, strict=True):
            cells = [_spread([value(m) for m in maps]) for value in SCALARS.values()]
            rows.append([f"{name}, {kind}", *cells])
    return markdown(["set", *SCALARS], rows)


def _spread(values: Sequence[float]) -> str:
    low, middle, high = np.percentile(values, [10, 50, 90])
    return _short(middle) if len(values) == 1 else f"{_short(middle)} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    """Two digits without an exponent."""
    return f"{float(f'{value:.2g}'):g}"


def ring_table(
    sets: dict[str, Pair], value: Callable[[MapStatistics], NDArray[np.float64]], header: Sequence[str], *,
    form: str, errors: bool = False,
) -> str:  # fmt: skip
    """Medians by ring of spatial frequency or distance, on request with their errors."""
    rows = []
    for name, pair in sets.items():
        for kind, maps in zip(("real", "simulated"), pair, strict=True):
            values = np.concatenate([np.atleast_2d(value(m)) for m in maps])
            cells = [_median(column[np.isfinite(column)], form, errors=errors) for column in values.T]
            rows.append([f"{name}, {kind}", str(len(values)), *cells])
    return markdown(["set", "n", *header], rows)


def _median(values: NDArray[np.float64], form: str, *, errors: bool) -> str:
    """A median and its bootstrap error."""
    if not errors or len(values) < 2:
        return number(float(np.median(values)), form) if len(values) else "-"
    again = np.random.default_rng(0).integers(len(values), size=(400, len(values)))
    error = float(np.median(values[again], axis=1).std())
    return f"{number(float(np.median(values)), form)} ± {number(error, form)}"


def coverage_table(groups: dict[str, list[MapStatistics]], drawn: Sequence[MapStatistics]) -> str:
    """Where the real maps lie among the wide random draws: percentile of the median real map."""
    rows = []
    for name, real in groups.items():
        cells = []
        for value in SCALARS.values():
            middle, among = float(np.median([value(m) for m in real])), np.array([value(m) for m in drawn])
            percentile = 50.0 * (np.mean(among < middle) + np.mean(among <= middle))
            cells.append(f"{_short(middle)}: {percentile:.0f}")
        rows.append([name, *cells])
    middle_row = [_spread([value(m) for m in drawn]) for value in SCALARS.values()]
    return markdown(["set: value, percentile among random fields", *SCALARS], [["random fields", *middle_row], *rows])


def write_pictures(folder: Path, output: Path, names: Sequence[str]) -> None:
    """Real maps above simulated ones, as asinh of the signal to noise; they hold survey pixels: keep them private."""
    from matplotlib.figure import Figure

    output.mkdir(parents=True, exist_ok=True)
    for name in names:
        real_set = SETS[name]
        paths = sorted(folder.glob(real_set.pattern))
        shown = [read(path) for path in paths[:: max(1, len(paths) // PICTURES)][:PICTURES]]
        made = [simulated(real_set, SEED + number, brightest=[30.0, 300.0, 1500.0]) for number in range(PICTURES)]
        figure = Figure(figsize=(4.0 * PICTURES, 8.2), layout="tight")
        for row, maps in enumerate((shown, made)):
            for column, radio_map in enumerate(maps):
                axes = figure.add_subplot(2, PICTURES, row * PICTURES + column + 1, xticks=[], yticks=[])
                background, rms = SourceFinder()(radio_map).noise.evaluate()
                shade = np.arcsinh(np.clip((radio_map.data - background) / rms, -4.0, 1000.0) / 1.5)
                axes.imshow(shade, cmap="gray", vmin=-1.7, vmax=4.4, origin="lower", interpolation="nearest")
                axes.set_title(("real", "simulated")[row], fontsize=9)
        figure.savefig(output / f"{real_set.survey}_{name.split()[-1].lower()}.png", dpi=75)


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS), help="sets to compare")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of real and simulated maps, and no tables")
    options = parser.parse_args()
    if "NEANIAS_REAL_DATA" not in os.environ:
        parser.error("NEANIAS_REAL_DATA must name the folder with the real maps")
    folder = Path(os.environ["NEANIAS_REAL_DATA"])
    with silent_libraries():
        if options.pictures:
            write_pictures(folder, options.pictures, options.only)
            return
        sets = {name: measure_set(folder, SETS[name]) for name in options.only}
        others = {name: [measure_map(read(folder / path))] for name, path in OTHERS.items()}
        drawn = random_statistics()
    frequencies = [f"{value:.2f}" for value in 0.5 * (SPECTRUM_EDGES[1:] + SPECTRUM_EDGES[:-1])]
    rings = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(RING_EDGES)]
    sections = {
        "Distances: KS, energy (in brackets: within the real maps)": distance_table(sets),
        "Numbers of each map: median (10 to 90 per cent)": scalar_table(sets),
        "Noise power by spatial frequency, cycles per beam": ring_table(
            sets, lambda m: m.spectrum, frequencies, form=".2f"),
        "Sidelobes around bright sources, 1e-4 of the peak, by distance in beams": ring_table(
            sets, lambda m: 1e4 * m.sidelobes, rings, form=".0f", errors=True),
        "Real maps among the wide random draws": coverage_table({k: v[0] for k, v in sets.items()} | others, drawn),
    }  # fmt: skip
    for heading, table in sections.items():
        print(f"## {heading}\n\n{table}\n")


if __name__ == "__main__":
    main()
