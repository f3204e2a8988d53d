"""The columns of every table that leaves the program: one definition for all file formats.

ECSV, VOTable, Parquet, the report and ``docs/catalogue.md`` are built from `TABLES`; nothing else
names a column, a unit or a UCD.
"""

from __future__ import annotations

from dataclasses import dataclass

from neanias_ml.catalogue.schema_column import Column
from neanias_ml.catalogue.schema_descriptors import EVIDENCE_COLUMNS, SHAPE_COLUMNS, SKY_SHAPE_COLUMNS


@dataclass(frozen=True)
class TableSchema:
    """One table: its name, what a row is, and its columns in order."""

    name: str
    description: str
    columns: tuple[Column, ...]

    @property
    def file(self) -> str:
        """Name of the table's own file."""
        return f"{self.name}.ecsv"

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


FLUX_UCD = "phot.flux.density;em.radio"
PEAK_UCD = "phot.flux.density;em.radio;stat.max"


def _identifier(name: str, of: str) -> Column:
    return Column(name, "int64", "", "meta.id;meta.main", f"{of}; unique in the table")


def _value_and_error(value: Column, error_description: str) -> tuple[Column, Column]:
    """A measured column and the column of its standard deviation."""
    error = Column(f"{value.name}_err", value.dtype, value.unit, f"stat.error;{value.ucd}", error_description)
    return value, error


def _sky(of: str) -> tuple[Column, Column]:
    return (
        Column("ra", "float64", "deg", "pos.eq.ra;meta.main", f"ICRS right ascension of the {of}; NaN without sky"),
        Column("dec", "float64", "deg", "pos.eq.dec;meta.main", f"ICRS declination of the {of}; NaN without sky"),
    )


def _pixel(of: str) -> tuple[Column, Column]:
    return (
        Column("x", "float64", "pix", "pos.cartesian.x;instr.pixel", f"column of the {of}, 0-based"),
        Column("y", "float64", "pix", "pos.cartesian.y;instr.pixel", f"row of the {of}, 0-based"),
    )


def _box(of: str) -> tuple[Column, ...]:
    return (
        Column("x0", "int64", "", "pos.cartesian.x;instr.pixel;stat.min", f"first pixel column of the {of}"),
        Column("y0", "int64", "", "pos.cartesian.y;instr.pixel;stat.min", f"first pixel row of the {of}"),
        Column("x1", "int64", "", "pos.cartesian.x;instr.pixel;stat.max", f"pixel column after the last of the {of}"),
        Column("y1", "int64", "", "pos.cartesian.y;instr.pixel;stat.max", f"pixel row after the last of the {of}"),
    )


def _total_flux(description: str) -> tuple[Column, Column]:
    value = Column("total_flux", "float64", "Jy", FLUX_UCD, description)
    return _value_and_error(value, "1-sigma error of the total flux density, noise correlated over the beam")


def _probability(name: str, description: str) -> Column:
    return Column(name, "float64", "", "stat.probability", description)


LOCAL_RMS = Column("local_rms", "float64", "Jy/beam", "instr.det.noise", "noise of the map at the row's place")
LOCAL_BACKGROUND = Column(
    "local_background", "float64", "Jy/beam", "instr.skyLevel", "background, already subtracted from the fluxes"
)
FLAGS = Column("flags", "text", "", "meta.code.qual", "conditions to know about, comma-separated; empty: none")

COMPONENTS = TableSchema(
    "components",
    "Gaussian components fitted to the islands",
    (
        _identifier("component_id", "number of the component"),
        Column("island_id", "int64", "", "meta.id.parent", "island that the component was fitted in"),
        Column("nested_id", "int64", "", "meta.id.assoc", "nested island that it was fitted in; 0: the whole island"),
        *_sky("centre"),
        Column(
            "ra_err", "float64", "deg", "stat.error;pos.eq.ra", "1-sigma error along right ascension (times cos dec)"
        ),
        Column("dec_err", "float64", "deg", "stat.error;pos.eq.dec", "1-sigma error along declination"),
        *_pixel("centre"),
        Column("x_err", "float64", "pix", "stat.error;pos.cartesian.x;instr.pixel", "1-sigma error along the columns"),
        Column("y_err", "float64", "pix", "stat.error;pos.cartesian.y;instr.pixel", "1-sigma error along the rows"),
        *_value_and_error(
            Column("peak_flux", "float64", "Jy/beam", PEAK_UCD, "height of the Gaussian"), "1-sigma error of the height"
        ),
        *_total_flux("integral of the Gaussian"),
        *_value_and_error(
            Column("major", "float64", "arcsec", "phys.angSize.smajAxis", "full width at half maximum, major axis"),
            "1-sigma error of the major axis",
        ),
        *_value_and_error(
            Column("minor", "float64", "arcsec", "phys.angSize.sminAxis", "full width at half maximum, minor axis"),
            "1-sigma error of the minor axis",
        ),
        *_value_and_error(
            Column("pa", "float64", "deg", "pos.posAng", "position angle of the major axis, east of north"),
            "1-sigma error of the position angle",
        ),
        *_value_and_error(
            Column(
                "dc_major",
                "float64",
                "arcsec",
                "phys.angSize.smajAxis",
                "major axis without the beam; an upper limit where flags say size_upper_limit",
            ),
            "1-sigma error of that axis; NaN for limits",
        ),
        *_value_and_error(
            Column(
                "dc_minor",
                "float64",
                "arcsec",
                "phys.angSize.sminAxis",
                "minor axis without the beam; an upper limit where flags say size_upper_limit or minor_upper_limit",
            ),
            "1-sigma error of that axis; NaN for limits",
        ),
        *_value_and_error(
            Column("dc_pa", "float64", "deg", "pos.posAng", "position angle without the beam, east of north"),
            "1-sigma error of that angle; NaN for limits",
        ),
        Column("shape", "text", "", "meta.code", "beam: the beam's shape describes it as well; else free"),
        LOCAL_RMS,
        LOCAL_BACKGROUND,
        Column("snr", "float64", "", "stat.snr", "height of the Gaussian over the noise"),
        Column("residual_rms", "float64", "", "stat.fit.residual", "residual of the island's fit over the noise"),
        Column(
            "fit_quality",
            "int64",
            "",
            "meta.code.qual",
            "3 good: residual at the noise or below 2 per cent of the peak; 2 acceptable: 2.5 sigma or 8 per cent; "
            "1 poor: not converged, at a limit or a larger residual; 0 no fit: moments",
        ),
        FLAGS,
    ),
)

ISLANDS = TableSchema(
    "islands",
    "Islands: connected pixels above the merge threshold that hold one above the seed threshold",
    (
        _identifier("island_id", "number of the island, its label in islands.fits"),
        Column("object_id", "int64", "", "meta.id.assoc", "object that the island belongs to; 0 before detect"),
        Column("parent_id", "int64", "", "meta.id.parent", "island that directly encloses this one; 0: none"),
        Column("level", "int64", "", "meta.number", "0 for islands of the map, 1, 2, ... for nested ones"),
        *_pixel("flux-weighted centroid"),
        *_sky("flux-weighted centroid"),
        *_box("island"),
        Column("n_pixels", "int64", "", "meta.number;instr.pixel", "number of pixels"),
        Column("peak_flux", "float64", "Jy/beam", PEAK_UCD, "brightest pixel"),
        *_total_flux("sum over the island and the wings around it, all that lies inside it included"),
        Column("own_flux", "float64", "Jy", FLUX_UCD, "total flux without that of the islands directly inside it"),
        Column("snr", "float64", "", "stat.snr", "largest signal to noise of its pixels"),
        LOCAL_RMS,
        Column("n_components", "int64", "", "meta.number", "number of fitted Gaussian components"),
        Column(
            "kind",
            "text",
            "",
            "src.morph",
            "compact or extended, by the flux that its peak does not explain; nested: inside another; diffuse: "
            "emission that the search for extended sources found",
        ),
        LOCAL_BACKGROUND,
        Column("peak_x", "int64", "", "pos.cartesian.x;instr.pixel", "column of the brightest pixel, 0-based"),
        Column("peak_y", "int64", "", "pos.cartesian.y;instr.pixel", "row of the brightest pixel, 0-based"),
        Column(
            "major", "float64", "arcsec", "phys.angSize.smajAxis", "full width at half maximum from moments, major axis"
        ),
        Column(
            "minor", "float64", "arcsec", "phys.angSize.sminAxis", "full width at half maximum from moments, minor axis"
        ),
        Column("pa", "float64", "deg", "pos.posAng", "position angle of the major axis, east of north"),
        Column("n_beams", "float64", "", "meta.number;instr.beam", "area in beam areas"),
        _probability(
            "p_spurious",
            "probability of an imaging artefact: by the evidence around the island, after detect by the network; NaN "
            "where neither was asked",
        ),
        FLAGS,
    ),
)

OBJECTS = TableSchema(
    "objects",
    "Physical objects (or artefacts): sets of islands with their class, measured on the union of the islands",
    (
        _identifier("object_id", "number of the object, the smallest id of its islands"),
        Column("class_name", "text", "", "src.class", "spurious, compact, extended, extended-multisland or flagged"),
        _probability("p_spurious", "probability of an imaging artefact, by the class head"),
        _probability("p_compact", "probability of a compact source"),
        _probability("p_extended", "probability of an extended source on one island"),
        _probability("p_multisland", "probability of an extended source on several islands"),
        _probability("p_flagged", "probability of emission that cannot be trusted"),
        Column(
            "morphology",
            "text",
            "",
            "src.morph",
            "finer class of an extended object, unsure where none is probable enough; empty: not asked",
        ),
        _probability("morphology_probability", "probability of the most probable finer class; NaN: not asked"),
        Column("n_islands", "int64", "", "meta.number", "number of islands"),
        Column("island_ids", "text", "", "meta.id.part", "ids of the islands, ascending, comma-separated"),
        *_sky("flux-weighted centroid"),
        *_pixel("flux-weighted centroid"),
        *_box("object"),
        Column("peak_flux", "float64", "Jy/beam", PEAK_UCD, "brightest pixel"),
        *_total_flux("sum over the islands"),
        Column(
            "largest_angular_size", "float64", "arcsec", "phys.angSize", "largest distance between two of its pixels"
        ),
        Column("position_angle", "float64", "deg", "pos.posAng", "direction of that distance, east of north"),
        Column("snr", "float64", "", "stat.snr", "largest signal to noise of its pixels"),
        _probability(
            "association_probability",
            "least probability of the links that hold the islands together (of the mask that joined them where there "
            "is no association network); NaN for one island",
        ),
        FLAGS,
    ),
)

DESCRIPTORS = TableSchema(
    "descriptors",
    "Shapes of the islands of the map and the evidence that tells artefacts from sources",
    (
        _identifier("island_id", "number of the island"),
        *SHAPE_COLUMNS,
        *SKY_SHAPE_COLUMNS,
        *EVIDENCE_COLUMNS,
    ),
)

TABLES = (COMPONENTS, ISLANDS, OBJECTS, DESCRIPTORS)
