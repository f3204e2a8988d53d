"""What is prepared for training: simulated fields, sets of real maps, and how both are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from neanias_ml.datasets.field_names import SIMULATED
from neanias_ml.datasets.real import require_known
from neanias_ml.datasets.resampling import PIXELS_PER_BEAM
from neanias_ml.datasets.sky_splits import SplitShares
from neanias_ml.datasets.tiles import TILE_SIZE
from neanias_ml.errors import UsageError
from neanias_ml.extraction import FinderConfig


@dataclass(frozen=True, kw_only=True)
class RealSource:
    """A set of labelled real maps."""

    name: str
    """radiogalaxynet, mirabest, vlass or caesar_samples; or, with labels, a name of your own (letters, digits, - _)"""
    weight: float = 1.0
    """passes over the training maps, >= 0: 0.5 takes half of them, 2 each twice, with other thresholds and noise"""
    labels: str = ""
    """file or folder of your own labels (COCO, CAESAR sidecars, DS9 regions), instead of a set that is known by name"""
    exhaustive: bool = False
    """whether your own labels name all emission; else islands without a label are ignored, not background"""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise UsageError("RealSource", f"the weight of {self.name} must not be negative, not {self.weight}")
        if not self.labels:
            require_known(self.name)
            if self.exhaustive:
                raise UsageError("RealSource", f"leave out exhaustive for {self.name}: it is known")
        elif self.name == SIMULATED or not self.name.replace("-", "").replace("_", "").isalnum():
            raise UsageError("RealSource", f"{self.name!r} is no name for a set: use letters, digits, - and _")


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """What is simulated, which real maps join in, and how all is cut."""

    train_fields: int = 300
    """simulated fields for training"""
    validation_fields: int = 30
    """fields for calibration and thresholds"""
    test_fields: int = 30
    """fields for the reported metrics"""
    field_sizes: tuple[int, ...] = (512, 640, 768)
    """sides of the fields in map pixels, one drawn for each"""
    real: tuple[RealSource, ...] = ()
    """sets of labelled real maps"""
    shares: SplitShares = field(default_factory=SplitShares)
    """parts of the real sky for each split"""
    split_seed: int = 0
    """another seed divides the real sky otherwise; keep it, so that models can be compared on the same test sky"""
    tiles_per_field: int = 10
    """tiles of a training field, fewer for small maps; validation and test fields are covered by adjoining tiles"""
    fields_per_shard: int = 5
    """fields in one file; the unit of work and of resuming"""
    artefact_fraction: float = 0.6
    """share of training fields with extra bright sources and calibration errors, for spurious and flagged examples"""
    crowded_fraction: float = 0.4
    """share of all simulated fields that are drawn rich in radio galaxies and neighbours, for objects of several
    islands: fields as the source counts have them hold one or two"""
    seed_jitter: tuple[float, float] = (4.5, 6.0)
    """range of the seed threshold in training fields; the others use the finder's own"""
    tile_size: int = TILE_SIZE
    """side of a tile in grid pixels"""
    pixels_per_beam: float = PIXELS_PER_BEAM
    """sampling of the grid"""
    finder: FinderConfig = field(default_factory=FinderConfig)
    """extraction, the same as at inference"""
    seed: int = 20240
    """seed of everything but the splits of real maps"""

    def __post_init__(self) -> None:
        counts = (self.train_fields, self.validation_fields, self.test_fields)
        if min(counts) < 0 or min(self.tiles_per_field, self.fields_per_shard) < 1:
            raise UsageError(
                "PreparationConfig", "numbers of fields must not be negative, tiles_per_field and fields_per_shard >= 1"
            )
        if self.tile_size < 1 or not (math.isfinite(self.pixels_per_beam) and self.pixels_per_beam > 0):
            raise UsageError("PreparationConfig", "tile_size must be at least 1 and pixels_per_beam positive")
        if not (0 <= self.artefact_fraction <= 1 and 0 <= self.crowded_fraction <= 1) or self.seed < 0:
            raise UsageError(
                "PreparationConfig",
                "artefact_fraction and crowded_fraction must lie in [0, 1] and seed must not be negative",
            )
        if any(counts) and (not self.field_sizes or min(self.field_sizes) < 1):
            raise UsageError("PreparationConfig", "field_sizes must hold at least one positive size")
        names = [source.name for source in self.real]
        if len(set(names)) != len(names):
            raise UsageError("PreparationConfig", f"a real set is named twice: {', '.join(sorted(names))}")
        if not 0 < self.seed_jitter[0] <= self.seed_jitter[1]:
            raise UsageError("PreparationConfig", f"seed_jitter must be a rising range, not {self.seed_jitter}")

    def n_fields(self, split: str) -> int:
        """Number of simulated fields of a split."""
        return {"train": self.train_fields, "validation": self.validation_fields, "test": self.test_fields}[split]
