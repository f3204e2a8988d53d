"""The extraction on real maps: what it finds, how pure it is, and what others found there.

    NEANIAS_REAL_DATA=path python -m tests.benchmarks.extraction_real_maps [--extended]

Purity is 1 - N(negative) / N: the same extraction of the map with its sign turned finds islands that no source makes.
It says nothing on maps with a handful of islands, and is low where the sidelobes of bright sources are negative.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections import Counter
from pathlib import Path

from neanias_ml.cli.options import silent_libraries
from neanias_ml.errors import InputError
from neanias_ml.extraction import Extraction, FinderConfig, SourceFinder
from neanias_ml.maps import Beam, RadioMap, read_map
from tests.benchmarks import extraction_scorpio as scorpio
from tests.benchmarks.agreement_with_catalogues import agreement_table
from tests.benchmarks.extraction_ours import spurious_islands
from tests.benchmarks.extraction_sdc1 import MAP as SDC1
from tests.benchmarks.extraction_sdc1 import sdc1_table
from tests.benchmarks.extraction_tables import markdown, percent

FIRST_MAPS = 12
VLASS_MAPS = 12
FIRST_BEAM = Beam(5.4 / 3600.0, 5.4 / 3600.0)


def groups(folder: Path) -> dict[str, list[Path]]:
    """Maps by survey."""
    single = {
        "SCORPIO": scorpio.MAP,
        "SDC1": SDC1,
        "LoTSS DR1, 600 px": "LoTSS_DR1/P205+55_600px_ra207.fits",
        "LoTSS DR1, 200 px": "LoTSS_DR1/P218+55_200px.fits",
        "Aegean's test map": "finder_tests/aegean/1904-66_SIN.fits",
        "PyBDSF's test map": "finder_tests/pybdsf/tbdsf.ch0_I.fits",
        "Selavy's synthetic map": "finder_tests/vast_selavy_synthetic/epoch01.fits",
        "PySE's AMI map": "finder_tests/pyse/AMI_SWIFT_554620.fits",
        "Fornax A, MWA": "misc_maps/FornaxA_MWA_phase1+2.fits",
    }
    maps = {name: [folder / path] for name, path in single.items()}
    maps["FIRST, some"] = sorted((folder / "MiraBest_FIRST/fits").glob("*.fits.gz"))[:FIRST_MAPS]
    maps["VLASS, some"] = sorted((folder / "VLASS_multiepoch/fits").glob("*_ep1.fits.fz"))[:VLASS_MAPS]
    return maps


def read(path: Path) -> RadioMap:
    """A map; those of FIRST that lack a beam get the survey's."""
    try:
        return read_map(path)
    except InputError:
        return read_map(path, beam=FIRST_BEAM)


def negative(radio_map: RadioMap) -> RadioMap:
    """The map with its sign turned."""
    return RadioMap.from_array(-radio_map.data, beam=radio_map.beam, pixel_scale=radio_map.pixel_scale)


def map_row(
    name: str, paths: list[Path], config: FinderConfig, kept: dict[str, tuple[Extraction, Extraction]]
) -> list[str]:
    """Counts, purity and time over the maps of a group; the extractions of the last map are kept."""
    counts: Counter[str] = Counter()
    spent = 0.0
    for path in paths:
        radio_map = read(path)
        started = time.process_time()
        found = SourceFinder(config)(radio_map)
        spent += time.process_time() - started
        inverted = SourceFinder(config)(negative(radio_map))
        kept[name] = found, inverted
        table = found.islands.table
        counts["pixels"] += radio_map.data.size
        counts["islands"] += len(table)
        counts["spurious"] += len(spurious_islands(found))
        counts["negative"] += len(inverted.islands)
        counts["negative kept"] += len(inverted.islands) - len(spurious_islands(inverted))
        counts["extended"] += int((table.kind == "extended").sum())
        counts["components"] += len(found.components)
        counts["moments"] += int((found.components.fit_quality == 0).sum())
    islands = counts["islands"]
    remaining = islands - counts["spurious"]
    purity = percent(1.0 - counts["negative"] / islands) if islands else "-"
    pure_kept = percent(1.0 - counts["negative kept"] / remaining) if remaining else "-"
    names = ("islands", "extended", "components", "moments", "spurious", "negative")
    per_pixel = f"{1e9 * spent / counts['pixels']:.0f}"
    return [name, str(len(paths)), *(str(counts[key]) for key in names), purity, pure_kept, per_pixel]


def persistence_table(folder: Path) -> str:
    """Islands of VLASS that other epochs confirm or deny: how many of them ours has, and calls spurious."""
    base = folder / "VLASS_multiepoch"
    with (base / "islands_persistence.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    counts: Counter[tuple[str, str]] = Counter()
    for name in sorted({row["file"] for row in rows}):
        extraction = SourceFinder()(read_map(base / "fits" / name))
        labels, spurious = extraction.islands.labels, spurious_islands(extraction)
        for row in (row for row in rows if row["file"] == name and row["label"] in ("real", "spurious")):
            x, y = int(row["xpeak"]), int(row["ypeak"])
            piece = labels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            ours = int(piece.max(initial=0))
            counts[row["label"], "all"] += 1
            counts[row["label"], "found"] += ours > 0
            counts[row["label"], "kept"] += ours > 0 and ours not in spurious
    lines = []
    for label in ("real", "spurious"):
        total = counts[label, "all"]
        shares = [f"{counts[label, key]} ({percent(counts[label, key] / total)} %)" for key in ("found", "kept")]
        lines.append([label, str(total), *shares])
    return markdown(["islands of VLASS above 5 sigma", "all", "in ours", "in ours, not called spurious"], lines)


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extended", action="store_true", help="with the search for extended emission")
    config = FinderConfig(search_extended=parser.parse_args().extended)
    folder = Path(os.environ["NEANIAS_REAL_DATA"])
    kept: dict[str, tuple[Extraction, Extraction]] = {}
    with silent_libraries():
        rows = [map_row(name, paths, config, kept) for name, paths in groups(folder).items()]
        header = ["maps", "number", "islands", "extended", "components", "of moments", "called spurious"]
        header += ["islands of the negative", "purity %", "purity without spurious %", "CPU ns/pixel"]
        sections = {"Real maps": markdown(header, rows)}
        sections["VLASS: islands that other epochs confirm or deny"] = persistence_table(folder)
        sections["SDC1 against its truth"] = sdc1_table(folder, kept["SDC1"][0])
        sections["Agreement with other finders' catalogues"] = agreement_table(folder)
        sections |= scorpio.scorpio_tables(*kept["SCORPIO"])
    for heading, table in sections.items():
        print(f"## {heading}\n\n{table}\n")


if __name__ == "__main__":
    main()
