"""Components of two real maps against catalogues of other finders.

    NEANIAS_REAL_DATA=path python -m tests.benchmarks.agreement_with_catalogues

LoTSS DR1 against its PyBDSF rows (within 3 arcsec, mJy) and the Aegean test map against its 51 components (within
half a beam). Rows of a catalogue that lie on blank pixels of the map are counted apart: no finder can see them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from neanias_ml.cli.options import silent_libraries
from neanias_ml.evaluation import flux_ratios, match_sky
from neanias_ml.extraction import SourceFinder
from neanias_ml.maps import read_map


@dataclass(frozen=True)
class Reference:
    """A map with another finder's catalogue: file names, column names, flux unit in Jy, match radius in arcsec."""

    name: str
    map_file: str
    catalogue: str
    ra: str
    dec: str
    total: str
    peak: str
    flux_unit: float
    radius: float


REFERENCES = (
    Reference(
        name="LoTSS DR1, PyBDSF",
        map_file="LoTSS_DR1/P205+55_600px_ra207.fits",
        catalogue="LoTSS_DR1/P205+55_600px_ra207_pybdsf_srl.csv",
        ra="RA",
        dec="DEC",
        total="Total_flux",
        peak="Peak_flux",
        flux_unit=1e-3,
        radius=3.0,
    ),
    Reference(
        name="Aegean test map",
        map_file="finder_tests/aegean/1904-66_SIN.fits",
        catalogue="finder_tests/aegean/1904_comp.fits",
        ra="ra",
        dec="dec",
        total="int_flux",
        peak="peak_flux",
        flux_unit=1.0,
        radius=432.0,
    ),
)


def compare(reference: Reference, folder: Path) -> str:
    """One row of the table."""
    radio_map = read_map(folder / reference.map_file)
    components = SourceFinder()(radio_map).components
    rows = Table.read(folder / reference.catalogue)
    ra, dec = np.array(rows[reference.ra], dtype=float), np.array(rows[reference.dec], dtype=float)
    assert radio_map.sky is not None
    x, y = radio_map.sky.to_pixel(ra, dec)
    blank = ~np.isfinite(radio_map.data[np.rint(y).astype(int), np.rint(x).astype(int)])
    match = match_sky(ra, dec, components.ra, components.dec, radius_arcsec=reference.radius)
    seen = int((~blank[match.first]).sum())
    total = flux_ratios(match, np.array(rows[reference.total]) * reference.flux_unit, components.total_flux)
    peak = flux_ratios(match, np.array(rows[reference.peak]) * reference.flux_unit, components.peak_flux)
    spread = [np.percentile(values, [50, 16, 84]) for values in (peak, total)]
    ratios = " | ".join(f"{middle:.3f} ({low:.3f} to {high:.3f})" for middle, low, high in spread)
    return (
        f"| {reference.name} | {len(ra)} | {int(blank.sum())} | {len(match)} | {seen} of {int((~blank).sum())} "
        f"| {np.median(match.separation):.2f} | {ratios} | {len(components)} |"
    )


def main() -> None:
    """Run the comparison and print its table."""
    folder = Path(os.environ["NEANIAS_REAL_DATA"])
    print("| map, catalogue | its rows | on blank pixels | recovered | of those not blank | offset, arcsec |", end="")
    print(" peak ratio (16 to 84 %) | total ratio (16 to 84 %) | our components |")
    print("|---|---|---|---|---|---|---|---|---|")
    with silent_libraries():
        for reference in REFERENCES:
            print(compare(reference, folder))


if __name__ == "__main__":
    main()
