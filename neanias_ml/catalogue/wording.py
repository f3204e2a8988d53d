"""Flags and files explained in words, for the report."""

from __future__ import annotations

import re

from neanias_ml.extraction.tables import SourceFlag

MAP_FLAGS = {
    "AxesTransposed": "The axes of the map were stored in an unusual order and have been turned.",
    "BadWcs": "The sky coordinates in the header cannot be used; positions are in pixels only.",
    "BeamCircularAssumed": "The header gives one axis of the beam only; a circular beam is assumed.",
    "BeamFromHistory": "The beam was found in the header's history (where AIPS leaves it).",
    "BeamFromTable": "The beam was taken from the table of beams in the file.",
    "BeamFromUser": "The beam was given on the command line.",
    "FrameAssumed": "The header names no known sky frame; it was inferred from the equinox.",
    "HduChosen": "The file holds several images; one was chosen.",
    "HeaderRepaired": "The header breaks the FITS standard; it was repaired for reading.",
    "NoWcs": "The map has no sky coordinates; positions are in pixels only.",
    "NonFinite": "Infinite pixels were taken as blank.",
    "PixelScaleEstimated": "The pixel size was estimated from the beam as it shows in the map.",
    "PixelScaleFromUser": "The pixel size was given on the command line.",
    "UnitAssumed": "The header gives no brightness unit; Jy/beam is assumed.",
    "UnitCaseAssumed": "The brightness unit is in capitals, and its M is read as milli: MJY/BEAM is taken as mJy/beam.",
}
"""What was repaired or assumed when the map was read."""

SOURCE_FLAGS = {
    SourceFlag.EDGE: "touches the edge of the map; its flux is a lower limit",
    SourceFlag.BLANKED: "touches blank pixels; its flux may be a lower limit",
    SourceFlag.FIT_FAILED: "no acceptable Gaussian fit; the values are from moments",
    SourceFlag.SIZE_UPPER_LIMIT: "not resolved; the size without the beam is an upper limit",
    SourceFlag.OFF_SKY: "its position has no sky coordinates",
    SourceFlag.MANY_COMPONENTS: "has more peaks than are fitted at once; the fainter ones are left out",
    SourceFlag.MINOR_UPPER_LIMIT: "resolved along one axis only; the minor axis without the beam is an upper limit",
    SourceFlag.REMAINDER: "what its island holds beside the sources inside it; size and position are moments",
    SourceFlag.ON_EXTENDED: "lies on extended emission, which was taken out underneath it",
}

FILES = {
    "components.ecsv": "Gaussian components, one row each",
    "islands.ecsv": "islands, one row each",
    "objects.ecsv": "objects with class and morphology, one row each",
    "catalogue.vot": "all tables as one VOTable (TOPCAT, Aladin)",
    "catalogue.parquet": "objects (islands before detect) as Parquet",
    "components.parquet": "components as Parquet",
    "islands.parquet": "islands as Parquet",
    "sources.reg": "outlines and component ellipses (DS9, CARTA)",
    "masks.json": "object masks in the COCO format",
    "islands.fits": "map of island numbers",
    "nested.fits": "map of the numbers of nested islands",
    "diffuse.fits": "map of the numbers of diffuse regions",
    "descriptors.ecsv": "shapes of the islands and evidence of artefacts",
    "descriptors.parquet": "shapes of the islands and evidence of artefacts",
    "background.fits": "background that was subtracted",
    "noise.fits": "noise, one standard deviation",
    "residual.fits": "map without background and fitted components",
    "overview.png": "the picture above",
    "report.html": "this report",
    "run.json": "manifest: digests, versions, settings, timings",
}
"""What each file of a run holds."""


def explain_map_flag(flag: str) -> str:
    """A sentence on a flag of the map; its name in words where there is none."""
    return MAP_FLAGS.get(flag) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", flag).capitalize() + "."


def explain_source_flag(flag: SourceFlag) -> str:
    """A phrase on a flag of a row."""
    return SOURCE_FLAGS.get(flag) or (flag.name or "").replace("_", " ").lower()
