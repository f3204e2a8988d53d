"""The extraction against its peers: time, memory, completeness, reliability and fluxes on the same simulated maps.

    NEANIAS_BENCH=folder python -m tests.benchmarks.extraction --work DIR --venvs DIR [--peers sep,sextractor,...]

``NEANIAS_BENCH`` (or ``--bench``) names a folder that this project does not contain: ``simulate.py`` makes the maps
with their truth, ``score.py`` judges a catalogue and ``peers/run_<name>.py`` runs a peer. ``--venvs`` holds a virtual
environment for each peer. All finders run on the same maps in the same run, one after the other, on one core; CPU time
is that of the whole process tree, memory its largest proportional set size. ``DIR/tables.md`` keeps the tables,
``DIR/out/<finder>-<map>`` what each finder wrote, ``DIR/results.json`` all numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.benchmarks import extraction_tables as tables
from tests.benchmarks.extraction_finders import (
    EXTENDED,
    OURS,
    PEERS,
    VARIANTS,
    Bench,
    Result,
    extract_command,
    our_result,
    peer_result,
    repeated,
    warm_command,
)
from tests.benchmarks.extraction_processes import ProcessCost

DENSE = ("--density", "2400")


def main() -> None:
    """Run what the options ask for, print the tables and keep them."""
    options = parse()
    bench = Bench(options.bench, options.venvs)
    if missing := bench.missing():
        sys.exit(
            "The benchmark needs a simulator, a scoring and runners of the peers that are not part of this project; "
            f"set NEANIAS_BENCH (or --bench) to the folder that holds them. Missing: {', '.join(missing)}"
        )
    sections = []
    results: list[Result] = []
    for size in options.sizes:
        found = compare(bench, options, size=size)
        results += found
        keep_results(options.work, results)
        sections += comparison_sections(f"{size} x {size} pixels", found)
    if options.linearity:
        lines = linearity(bench, options)
        results += lines
        sections.append(f"## Cost against size and density (ours)\n\n{tables.stage_table(lines)}")
    if options.cores_map:
        sections.append(f"## Two cores, {options.cores_map} x {options.cores_map}\n\n{two_cores(bench, options)}")
    if options.windows:
        sections.append(f"## Memory of large maps\n\n{large_map(bench, options)}")
    text = "\n\n".join(sections) + "\n"
    (options.work / "tables.md").write_text(text, encoding="utf-8")
    keep_results(options.work, results)
    print(text)


def keep_results(folder: Path, results: Sequence[Result]) -> None:
    """All numbers, for later."""
    kept = json.dumps([asdict(result) for result in results], indent=1, default=float)
    (folder / "results.json").write_text(kept, encoding="utf-8")


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for maps and results")
    add("--bench", type=Path, default=Path(os.environ.get("NEANIAS_BENCH", "NEANIAS_BENCH")))
    add("--venvs", type=Path, default=None, help="virtual environments of the peers (default: WORK/venvs)")
    add("--peers", default=",".join(PEERS), help="comma-separated; an empty word for none")
    add("--sizes", type=int, nargs="*", default=[2048], help="sides of the maps, pixels")
    add("--seeds", type=int, nargs="+", default=[1])
    add("--repeat", type=int, default=3, help="runs of ours and of quick peers")
    add("--slow-limit", type=int, default=2048, help="largest side on which slow peers run")
    add("--slow-seeds", type=int, default=1, help="slow peers run on this many of the seeds")
    add("--linearity", type=int, nargs="*", default=[], help="sides of the maps of the test of linearity")
    add("--dense", type=int, default=2048, help="side of the map of three times the density there")
    add("--cores-map", type=int, default=0, help="side of the map of the test of two cores")
    add("--windows", type=int, default=0, help="side of the large map, a multiple of the first size")
    add("--extended", action="store_true", help="ours with the search for extended emission too")
    add("--reuse", action="store_true", help="keep results of peers that an earlier run left in WORK/out")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.venvs = (options.venvs or options.work / "venvs").resolve()
    options.peers = [name for name in options.peers.split(",") if name]
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"no peer is called {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return options


def compare(bench: Bench, options: argparse.Namespace, *, size: int) -> list[Result]:
    """Ours and all peers on the maps of one size, scored."""
    scoring = bench.scoring()
    results = []
    for number, seed in enumerate(options.seeds):
        map_path = simulated(bench, options, size=size, seed=seed)
        truth = scoring.load_truth(str(map_path.with_suffix("")))
        for name in (OURS, *([EXTENDED] if options.extended else []), *options.peers):
            slow = name in PEERS and PEERS[name].slow
            if slow and (size > options.slow_limit or number >= options.slow_seeds):
                continue
            folder = options.work / "out" / f"{name}-{map_path.stem}"
            print(f"{name} on {map_path.stem}", file=sys.stderr, flush=True)
            result = one_result(bench, options, name, map_path, folder, repeat=1 if slow else options.repeat)
            if result is not None:
                result.score = scoring.score(truth, str(folder))
                results.append(result)
            elif name == OURS:
                sys.exit(f"our extraction fails on {map_path}; {folder / 'log.txt'} says why")
    return results


def one_result(
    bench: Bench, options: argparse.Namespace, name: str, map_path: Path, folder: Path, *, repeat: int
) -> Result | None:
    """Runs of one finder on one map, or what an earlier run of a peer left."""
    n_pixels = pixels_of(map_path)
    if name in VARIANTS:
        return our_result(name, map_path, folder, n_pixels=n_pixels, repeat=repeat)
    kept = folder / "result.json"
    if options.reuse and kept.exists():
        facts = json.loads(kept.read_text(encoding="utf-8"))
        return Result(**{**facts, "runs": [ProcessCost(**run) for run in facts["runs"]]})
    result = peer_result(bench, name, map_path, folder, n_pixels=n_pixels, repeat=repeat)
    if result is not None:
        kept.write_text(json.dumps(asdict(result), default=float), encoding="utf-8")
    return result


def simulated(
    bench: Bench, options: argparse.Namespace, *, size: int, seed: int, dense: bool = False, truth: bool = True
) -> Path:
    """A simulated map in the folder for maps."""
    folder = options.work / "data"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"sim{size}{'d' if dense else ''}_{seed}{'' if truth else '_map'}.fits"
    words = [*(DENSE if dense else ()), *(() if truth else ("--no-maps",))]
    return bench.simulate(folder / name, size=size, seed=seed, options=words)


def pixels_of(map_path: Path) -> int:
    """Pixels of a map."""
    header = fits.getheader(map_path)
    return int(header["NAXIS1"]) * int(header["NAXIS2"])


def comparison_sections(heading: str, results: Sequence[Result]) -> list[str]:
    """Tables of one size."""
    parts = {
        "time and memory": tables.speed_table(results),
        "our stages, CPU ns/pixel": tables.stage_table([result for result in results if result.finder in VARIANTS]),
        "completeness, %, by true signal to noise (true sources)": tables.completeness_table(results),
        "reliability, %, by measured signal to noise": tables.reliability_table(results),
        "noise, fluxes, positions": tables.accuracy_table(results),
        "ratios to ours": tables.ratio_table(results),
    }
    return [f"## {heading}: {name}\n\n{table}" for name, table in parts.items()]


def linearity(bench: Bench, options: argparse.Namespace) -> list[Result]:
    """Ours on maps of growing size, and on one of three times the density."""
    seed = options.seeds[0]
    maps = [simulated(bench, options, size=size, seed=seed, truth=size in options.sizes) for size in options.linearity]
    if options.dense:
        maps.append(simulated(bench, options, size=options.dense, seed=seed, dense=True, truth=False))
    results = []
    for map_path in maps:
        print(f"linearity: {map_path.stem}", file=sys.stderr, flush=True)
        n_pixels = pixels_of(map_path)
        folder = options.work / "out" / f"linearity-{map_path.stem}"
        result = our_result(OURS, map_path, folder, n_pixels=n_pixels, repeat=min(2, options.repeat), maps=False)
        if result is not None:
            results.append(result)
    return results


def cores_option() -> str | None:
    """The option of ``extract`` that says how many cores it may use."""
    words = [sys.executable, "-m", "neanias_ml", "extract", "--help"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    match = re.search(r"--(?:[\w.]+\.)?(?:workers|threads|cores|jobs)\b", text)
    return match.group(0) if match else None


def two_cores(bench: Bench, options: argparse.Namespace) -> str:
    """Wall time of the extraction in a warm process and of the command, on one and on two cores."""
    option = cores_option()
    map_path = simulated(bench, options, size=options.cores_map, seed=options.seeds[0], truth=False)
    rows: list[list[str]] = []
    walls: dict[str, list[float]] = {"warm": [], "command": []}
    for cores in (1, 2):
        folder = options.work / "out" / f"cores{cores}-{map_path.stem}"
        words = ["--repeat", str(options.repeat), "--workers", str(cores), "--no-maps"]
        warm = repeated(warm_command(map_path, folder, *words), folder=folder, repeat=1, cores=cores)
        runs = []
        if option is not None:
            command = extract_command(map_path, folder, option, str(cores))
            runs = repeated(command, folder=folder / "process", repeat=options.repeat, cores=cores)
        walls["warm"].append(min((run.facts["wall"] for run in warm), default=float("nan")))
        walls["command"].append(min((run.wall for run in runs), default=float("nan")))
        cells = [tables.number(cell) for wall in walls.values() for cell in (wall[-1], wall[0] / wall[-1])]
        rows.append([str(cores), *cells, tables.number(float(np.mean([run.cpu for run in runs] or [np.nan])))])
    header = ["cores", "warm wall s", "speed-up", f"`extract {option or '(no option)'}` wall s", "speed-up", "CPU s"]
    return tables.markdown(header, rows)


def large_map(bench: Bench, options: argparse.Namespace) -> str:
    """Memory and CPU of the command on one map and on a large one made of its mirror images."""
    size = options.sizes[0] if options.sizes else 2048
    small = simulated(bench, options, size=size, seed=options.seeds[0])
    large = mirrored(small, options.work / "data" / f"mirrored{options.windows}.fits", size=options.windows)
    rows = []
    for map_path, side in ((small, size), (large, options.windows)):
        folder = options.work / "out" / f"memory-{map_path.stem}"
        for run in repeated(extract_command(map_path, folder), folder=folder, repeat=1):
            megabytes = side * side * 4 / 2**20
            cells = [f"{run.memory:.0f}", f"{run.memory / megabytes:.2f}", f"{run.cpu:.2f}", f"{run.wall:.2f}"]
            rows.append([f"{side} x {side}", f"{megabytes:.0f}", *cells])
    return tables.markdown(["map", "map MB", "memory MB", "in maps", "CPU s", "wall s"], rows)


def mirrored(small: Path, path: Path, *, size: int) -> Path:
    """A map of ``size`` pixels that repeats a small one in mirror images, so that it has no seams; written by rows."""
    if path.exists():
        return path
    data, header = fits.getdata(small), fits.getheader(small)
    side = data.shape[0]
    header["NAXIS1"] = header["NAXIS2"] = size
    header["CRPIX1"] = header["CRPIX2"] = size / 2 + 1.0
    pair = np.concatenate([data, data[:, ::-1]], axis=1)
    wide = np.tile(pair, (1, -(-size // pair.shape[1])))[:, :size].astype(">f4")
    stream = fits.StreamingHDU(str(path), header)
    for start in range(0, size, side):
        rows = wide if (start // side) % 2 == 0 else wide[::-1]
        stream.write(rows[: size - start].astype(">f4"))
    stream.close()
    return path


if __name__ == "__main__":
    main()
