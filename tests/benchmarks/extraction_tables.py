"""Markdown tables of the extraction's benchmark, with ratios to ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.extraction_finders import EXTENDED, OURS, PEERS, Result

NAN = float("nan")
BINS = ("5-7", "7-10", "10-20", "20-50", ">50")
RELIABILITY_BINS = ("3-5", *BINS)
GROUPS = {"isolated": "iso", "pairs": "pair", "nested": "inext"}
FLUX_BINS = ("5-10", "10-30", ">30")
EXTENDED_KINDS = ("double", "disk", "shell", "diffuse")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def title(finder: str) -> str:
    """Name of a finder in a table."""
    return PEERS[finder].title if finder in PEERS else {OURS: "ours", EXTENDED: "ours, extended"}[finder]


def number(value: float, form: str = ".2f") -> str:
    """A number, a dash where there is none."""
    return format(value, form) if np.isfinite(value) else "-"


def by_finder(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results of each finder, ours first."""
    names = sorted({result.finder for result in results}, key=lambda name: (name != OURS, name != EXTENDED, name))
    return {name: [result for result in results if result.finder == name] for name in names}


def same_maps(ours: Sequence[Result], others: Sequence[Result]) -> list[Result]:
    """Our results on the maps of another finder's results."""
    return [result for result in ours if result.map_name in {other.map_name for other in others}]


def speed_table(results: Sequence[Result]) -> str:
    """CPU of process and algorithm, memory, and their ratios to ours on the same maps."""
    groups = by_finder(results)
    rows = []
    for name, group in groups.items():
        ours = same_maps(groups[OURS], group)
        pixels = sum(result.n_pixels for result in group)

        def ratio(value: Callable[[Result], float], base: Callable[[Result], float]) -> str:
            return number(sum(map(value, group)) / max(sum(map(base, ours)), 1e-9), ".2f")  # noqa: B023

        rows.append(
            [
                title(name),
                str(len(group)),
                number(float(np.mean([result.cpu for result in group]))),
                ratio(lambda r: r.cpu, lambda r: r.cpu),
                f"{np.mean([result.algorithm for result in group]):.3f}",
                f"{1e9 * sum(result.algorithm for result in group) / pixels:.0f}",
                ratio(lambda r: r.algorithm, lambda r: r.algorithm),
                ratio(lambda r: r.algorithm, lambda r: r.with_fits),
                ratio(lambda r: r.algorithm, lambda r: r.without_fits),
                number(max(result.memory for result in group), ".0f"),
                ratio(lambda r: r.memory, lambda r: r.memory),
                number(float(np.mean([result.wall for result in group]))),
            ]
        )
    header = ["finder", "maps", "process CPU s", "ratio", "algorithm CPU s", "ns/pixel", "ratio to all of ours"]
    header += ["ratio to ours up to fits", "ratio to ours without fits", "memory MB", "ratio", "best wall s"]
    return markdown(header, rows)


def stage_table(results: Sequence[Result]) -> str:
    """Our CPU by stage, ns per pixel, on each map."""
    stages = list(dict.fromkeys(stage for result in results for stage in result.stages if " found" not in stage))
    rows = []
    for result in results:
        cells = [number(1e9 * result.stages.get(stage, NAN) / result.n_pixels, ".1f") for stage in stages]
        counts = [str(result.stages[f"{kind} found"]) for kind in ("islands", "components")]
        whole = [
            *(f"{1e9 * cpu / result.n_pixels:.1f}" for cpu in (result.without_fits, result.with_fits)),
            f"{1e9 * result.algorithm / result.n_pixels:.1f}",
            *(number(cpu) for cpu in (result.cpu, result.with_pictures)),
            number(result.memory, ".0f"),
        ]
        name = result.map_name if result.finder == OURS else f"{result.map_name}, extended"
        rows.append([name, *counts, *cells, *whole])
    header = ["map", "islands", "components", *stages, "without fits", "up to fits", "all", "process CPU s"]
    header += ["the same with pictures", "process memory MB"]
    return markdown(header, rows)


def pooled(group: Sequence[Result], *keys: str) -> float:
    """Share over all maps and bins of scores given as (share, count)."""
    cells = [result.score[key] for result in group for key in keys if np.isfinite(result.score[key][0])]
    count = sum(total for _, total in cells)
    return sum(share * total for share, total in cells) / count if count else NAN


def counted(group: Sequence[Result], *keys: str) -> int:
    """How many true sources (or rows) stand behind a pooled share."""
    return int(sum(result.score[key][1] for result in group for key in keys))


def averaged(group: Sequence[Result], value: Callable[[dict[str, Any]], tuple[float, float]]) -> float:
    """Weighted mean over maps of a (value, weight) of each score."""
    cells = [value(result.score) for result in group]
    cells = [(number_, weight) for number_, weight in cells if np.isfinite(number_) and weight > 0]
    weights = sum(weight for _, weight in cells)
    return sum(number_ * weight for number_, weight in cells) / weights if cells else NAN


def accuracy(group: Sequence[Result], bin_name: str, quantity: str) -> float:
    """Accuracy of isolated compact sources in a bin of signal to noise."""

    def value(score: dict[str, Any]) -> tuple[float, float]:
        part = score.get(f"acc_{bin_name}", {})
        return part.get(quantity, NAN), part.get("n", 0)

    return averaged(group, value)


def noise_ratio(group: Sequence[Result], place: str) -> float:
    """Measured over true noise."""
    return averaged(group, lambda score: (float(score.get("rms_ratio", {}).get(place, NAN)), 1.0))


def extended_flux(group: Sequence[Result], kind: str) -> float:
    """Median share of the flux of extended objects that a catalogue's rows on them hold."""

    def value(score: dict[str, Any]) -> tuple[float, float]:
        part = score["ext_flux"].get(kind, {})
        return part.get("median_recovered", NAN), part.get("n", 0)

    return averaged(group, value)


def reliability(group: Sequence[Result]) -> float:
    """Share of rows that lie on something true."""
    return averaged(group, lambda score: (score["reliability"], score["n_cat"]))


def percent(value: float, form: str = ".0f") -> str:
    """A share in percent."""
    return number(100.0 * value, form)


def completeness_table(results: Sequence[Result]) -> str:
    """Completeness by true signal to noise of isolated sources, pairs and sources on extended emission."""
    groups = by_finder(results)
    header, rows = ["finder", "maps"], [[title(name), str(len(group))] for name, group in groups.items()]
    for label, code in GROUPS.items():
        for name in (*BINS, "all >5") if label == "isolated" else ("5-10", "all >5"):
            key = f"C_{code}_{name.removeprefix('all ')}"
            header.append(f"{label} {name} ({counted(groups[OURS], key)})")
            for row, group in zip(rows, groups.values(), strict=True):
                row.append(percent(pooled(group, key)))
    return markdown(header, rows)


def reliability_table(results: Sequence[Result]) -> str:
    """Reliability by measured signal to noise, and the rows that are wrong."""
    rows = []
    for name, group in by_finder(results).items():
        bins = [percent(pooled(group, f"R_{part}"), ".1f") for part in RELIABILITY_BINS]
        wrong = [str(sum(result.score[kind] for result in group)) for kind in ("artefact", "false", "dup")]
        total = sum(result.score["n_cat"] for result in group)
        rows.append([title(name), str(len(group)), str(total), percent(reliability(group), ".1f"), *bins, *wrong])
    header = ["finder", "maps", "rows", "reliability", *RELIABILITY_BINS, "artefacts", "false", "duplicates"]
    return markdown(header, rows)


def accuracy_table(results: Sequence[Result]) -> str:
    """Noise, flux and position errors of isolated compact sources, flux of extended objects."""
    rows = []
    for name, group in by_finder(results).items():
        cells = [number(noise_ratio(group, place)) for place in ("blank", "around_ext")]
        cells += [percent(accuracy(group, part, "peak_bias"), "+.1f") for part in FLUX_BINS]
        cells += [percent(accuracy(group, part, "flux_bias"), "+.1f") for part in FLUX_BINS]
        cells += [percent(accuracy(group, part, "flux_scat"), ".1f") for part in FLUX_BINS]
        cells += [number(accuracy(group, part, "sep_over_crlb")) for part in FLUX_BINS]
        cells += [percent(extended_flux(group, kind)) for kind in EXTENDED_KINDS]
        rows.append([title(name), *cells])
    header = ["finder", "noise/true, blank", "near extended"]
    for quantity in ("peak bias %", "flux bias %", "flux scatter %", "position error, normalised"):
        header += [f"{quantity} {part}" for part in FLUX_BINS]
    return markdown([*header, *(f"{kind} flux %" for kind in EXTENDED_KINDS)], rows)


RATIOS: dict[str, Callable[[Sequence[Result]], float]] = {
    "completeness >5, isolated": lambda group: pooled(group, "C_iso_>5"),
    "completeness 5-7, isolated": lambda group: pooled(group, "C_iso_5-7"),
    "pairs": lambda group: pooled(group, "C_pair_>5"),
    "nested": lambda group: pooled(group, "C_inext_>5"),
    "wrong rows (1 - reliability)": lambda group: 1.0 - reliability(group),
    "size of flux bias 5-10": lambda group: abs(accuracy(group, "5-10", "flux_bias")),
    "size of flux bias 10-30": lambda group: abs(accuracy(group, "10-30", "flux_bias")),
    "flux scatter 5-10": lambda group: accuracy(group, "5-10", "flux_scat"),
    "flux scatter 10-30": lambda group: accuracy(group, "10-30", "flux_scat"),
    "position error 5-10": lambda group: accuracy(group, "5-10", "sep_over_crlb"),
    "position error >30": lambda group: accuracy(group, ">30", "sep_over_crlb"),
}


def ratio_table(results: Sequence[Result]) -> str:
    """Scores of the peers divided by ours on the same maps: completeness below 1 and errors above 1 favour ours."""
    groups = by_finder(results)
    rows = []
    for name, group in groups.items():
        if name == OURS:
            continue
        ours = same_maps(groups[OURS], group)
        cells = [(value(group), value(ours)) for value in RATIOS.values()]
        rows.append([title(name), *(number(theirs / our) if our else "-" for theirs, our in cells)])
    return markdown(["finder over ours", *RATIOS], rows)
