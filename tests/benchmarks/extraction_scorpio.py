"""The SCORPIO field: which of its known objects are found, and what lies on the rays of its brightest source.

The map is 1000 x 1000 pixels of 1.5 arcsec; its sky coordinates are wrong, so that all places are pixels. The objects
were listed by eye.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction import Extraction, IslandTable
from tests.benchmarks.extraction_ours import label_map, spurious_islands
from tests.benchmarks.extraction_tables import markdown

FloatArray = NDArray[np.float64]
Box = tuple[int, int, int, int]

MAP = "SCORPIO_caesar/ScorpioExtendedSourceField.fits"
BRIGHTEST = (490, 510)
COMPACT = {
    (490, 510): 77.0,
    (940, 451): 12.5,
    (708, 224): 12.2,
    (152, 898): 5.8,
    (447, 718): 5.6,
    (902, 390): 4.0,
    (812, 757): 3.6,
    (964, 522): 3.4,
    (520, 34): 3.3,
}
"""Place and peak in mJy/beam of compact sources."""
NEBULAE: dict[str, Box] = {
    "ring or shell": (91, 145, 210, 265),
    "nebula, north": (424, 483, 624, 703),
    "nebula, centre": (642, 708, 499, 565),
    "nebula, east": (758, 850, 569, 651),
    "blob of the arc": (272, 364, 432, 553),
    "tail of the arc": (270, 510, 240, 480),
    "two-lobed nebula": (532, 699, 712, 889),
    "its faint part": (430, 480, 770, 830),
    "S-shaped jet": (535, 605, 610, 650),
    "diffuse Galactic emission": (0, 230, 585, 805),
    "filament, south-east": (865, 973, 65, 156),
    "filament, south": (590, 665, 125, 175),
}
"""Boxes ``x0, x1, y0, y1`` of extended objects."""
RAY_LENGTH = 300.0
WEAK = 20.0
RADIAL_DEGREES = 20.0
ELONGATED = 1.5


def overlap(box: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(box[1], other[1]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[2], other[2])
    common = max(0, width) * max(0, height)
    areas = sum((b[1] - b[0]) * (b[3] - b[2]) for b in (box, other))
    return common / (areas - common)


def nebula_rows(extraction: Extraction) -> list[list[str]]:
    """What of each nebula lies in islands."""
    every, labels = extraction.all_islands, label_map(extraction)
    table = every.select(every.kind != "nested")
    rms = float(np.median(extraction.noise.evaluate()[1]))
    rows = []
    for name, (x0, x1, y0, y1) in NEBULAE.items():
        members = np.flatnonzero(_centred(table, (x0, x1, y0, y1)))
        boxes = np.stack([table.x0, table.x1, table.y0, table.y1], axis=1)
        single = max((overlap((x0, x1, y0, y1), tuple(box)) for box in boxes.tolist()), default=0.0)
        union = 0.0
        if len(members):
            low, high = boxes[members].min(axis=0), boxes[members].max(axis=0)
            union = overlap((x0, x1, y0, y1), (int(low[0]), int(high[1]), int(low[2]), int(high[3])))
        covered = float((labels[y0:y1, x0:x1] > 0).mean())
        total = 1e3 * float(every.own_flux[_centred(every, (x0, x1, y0, y1))].sum())
        box_flux = 1e3 * _box_flux(extraction, (x0, x1, y0, y1), least=3.0 * rms)
        cells = [f"{single:.2f}", f"{union:.2f}", f"{100 * covered:.0f}", f"{total:.1f}", f"{box_flux:.1f}"]
        rows.append([name, str(len(members)), *cells])
    return rows


def _centred(table: IslandTable, box: Box) -> NDArray[np.bool_]:
    """Whether the centroid of each island lies in a box."""
    inside: NDArray[np.bool_] = (table.x >= box[0]) & (table.x < box[1]) & (table.y >= box[2]) & (table.y < box[3])
    return inside


def _box_flux(extraction: Extraction, box: Box, *, least: float) -> float:
    """Flux (Jy) of the pixels of a box that stand above the field's median level by ``least``."""
    data = extraction.radio_map.data
    piece = data[box[2] : box[3], box[0] : box[1]] - np.nanmedian(data)
    return float(piece[piece > least].sum()) / extraction.radio_map.beam_area


def compact_rows(extraction: Extraction) -> list[list[str]]:
    """The brightest component within a beam of each listed compact source."""
    table = extraction.components
    rows = []
    for (x, y), peak in COMPACT.items():
        distance = np.hypot(table.x - x, table.y - y)
        around = np.flatnonzero(distance <= extraction.radio_map.beam_fwhm)
        if not len(around):
            rows.append([f"({x}, {y})", f"{peak:.1f}", "not found", "-", "-"])
            continue
        near = around[table.peak_flux[around].argmax()]
        values = [1e3 * table.peak_flux[near], 1e3 * table.total_flux[near]]
        cells = [f"{distance[near]:.1f}", *(f"{value:.1f}" for value in values)]
        rows.append([f"({x}, {y})", f"{peak:.1f}", *cells])
    return rows


def unlisted(table: IslandTable) -> NDArray[np.bool_]:
    """Weak islands that belong to no listed object: neither inside a nebula's box nor at a compact source."""
    free = table.snr < WEAK
    for x0, x1, y0, y1 in NEBULAE.values():
        free &= ~((table.x1 > x0) & (table.x0 < x1) & (table.y1 > y0) & (table.y0 < y1))
    for x, y in COMPACT:
        free &= ~((table.x0 - 6 <= x) & (x <= table.x1 + 6) & (table.y0 - 6 <= y) & (y <= table.y1 + 6))
    return free


def radial(table: IslandTable) -> NDArray[np.bool_]:
    """Whether an island is long and points at the brightest source; two in nine would by chance."""
    direction = np.degrees(np.arctan2(table.y - BRIGHTEST[1], table.x - BRIGHTEST[0]))
    turn = np.abs((table.pixel_angle - direction + 90.0) % 180.0 - 90.0)
    pointing: NDArray[np.bool_] = (turn < RADIAL_DEGREES) & (table.major > ELONGATED * table.minor)
    return pointing


def ray_rows(extraction: Extraction, inverted: Extraction) -> list[list[str]]:
    """Weak unlisted islands near the brightest source and elsewhere, in the map and in its negative.

    Near is within ``RAY_LENGTH`` pixels. Islands near may be real faint sources: the density elsewhere and the number
    in the negative map, which holds no sources, say how many are.
    """
    rows = []
    for name, one in (("map", extraction), ("negative map", inverted)):
        table = one.islands.table
        distance = np.hypot(table.x - BRIGHTEST[0], table.y - BRIGHTEST[1])
        area_near = np.pi * RAY_LENGTH**2
        spurious = np.isin(table.island_id, spurious_islands(one))
        free = unlisted(table) if name == "map" else np.ones(len(table), dtype=bool)
        for place, where, area in (
            ("near", distance < RAY_LENGTH, area_near),
            ("elsewhere", distance >= RAY_LENGTH, one.radio_map.data.size - area_near),
        ):
            chosen = free & where
            counts = [chosen.sum(), (chosen & radial(table)).sum(), (chosen & ~spurious).sum()]
            rows.append([f"{name}, {place}", *map(str, counts), f"{1e5 * chosen.sum() / area:.1f}"])
    return rows


def scorpio_tables(extraction: Extraction, inverted: Extraction) -> dict[str, str]:
    """All tables of the field by their headings."""
    header = ["object", "islands with centroid inside", "best box IoU of one island", "box IoU of their union"]
    header += ["pixels of the box in islands %", "island flux mJy", "flux above 3 rms in the box mJy"]
    compact = ["place", "listed peak mJy", "offset px", "peak mJy", "total mJy"]
    rays = ["weak unlisted islands", "all", "long and radial", "not called spurious", "per 100,000 px"]
    return {
        "SCORPIO: nebulae": markdown(header, nebula_rows(extraction)),
        "SCORPIO: compact sources": markdown(compact, compact_rows(extraction)),
        "SCORPIO: rays of the 77 mJy source": markdown(rays, ray_rows(extraction, inverted)),
    }
