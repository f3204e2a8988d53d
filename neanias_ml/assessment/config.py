"""What is assessed: which labelled maps, in what state, and by how many processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from neanias_ml.datasets.field_names import SIMULATED
from neanias_ml.datasets.manifest import SPLITS
from neanias_ml.datasets.real import REAL_SETS
from neanias_ml.errors import UsageError
from neanias_ml.extraction import FinderConfig
from neanias_ml.simulation.surveys import SURVEYS

ALL = "all"
TEST_SEED = 9_000_000
"""First seed of simulated fields: skies of their own, apart from those of any training."""


@dataclass(frozen=True, kw_only=True)
class AssessmentConfig:
    """Which maps are assessed, and how they are extracted."""

    labelled_set: str = SIMULATED
    """simulated, radiogalaxynet, mirabest, vlass, caesar_samples, or a file or folder of labels of your own"""
    split: str | None = None
    """train, validation, test or all; by default test of a set that training knows, all of your own labels"""
    real_data: str | None = None
    """folder that holds the sets of real maps that are known by name; else that of NEANIAS_REAL_DATA"""
    exhaustive: bool = False
    """whether your own labels name all emission: then an island without a label is spurious, else it is not judged"""
    fields: int = 30
    """number of simulated fields, at least 1; intervals need some ten"""
    seed: int = TEST_SEED
    """seed of the first simulated field, one more for each; of real maps, of what has to be restored, such as noise"""
    size: int = 512
    """side of a simulated field in pixels"""
    survey: str = ""
    """draw simulated fields as this survey's maps are; empty: a survey of its own for each field"""
    finder: FinderConfig = field(default_factory=FinderConfig)
    """extraction, by default as the networks were trained with"""

    def __post_init__(self) -> None:
        if self.split not in (None, ALL, *SPLITS):
            raise UsageError("Split", f"the split is one of {', '.join((*SPLITS, ALL))}, not {self.split!r}")
        if self.fields < 1 or self.size < 64:
            raise UsageError(
                "SimulatedFields", f"at least one field of at least 64 pixels, not {self.fields} of {self.size}"
            )
        if self.seed < 0:
            raise UsageError("Seed", f"the seed must be at least 0, not {self.seed}")
        if self.survey and self.survey not in SURVEYS:
            raise UsageError("SurveyUnknown", f"there is no survey {self.survey!r}; choose one of {', '.join(SURVEYS)}")
        if self.is_own and not Path(self.labelled_set).exists():
            known = ", ".join((SIMULATED, *REAL_SETS))
            raise UsageError(
                "SetUnknown",
                f"{self.labelled_set!r} is neither a set that is known by name ({known}) nor labels that exist",
            )
        if self.exhaustive and not self.is_own:
            raise UsageError("Exhaustive", f"leave out exhaustive for {self.labelled_set}: it is known")
        if self.split is not None and self.is_simulated:
            raise UsageError("Split", "simulated fields have no splits: their seed says which sky they are of")

    @property
    def is_simulated(self) -> bool:
        """Whether fields are simulated for the purpose."""
        return self.labelled_set == SIMULATED

    @property
    def is_own(self) -> bool:
        """Whether the labels are the user's own."""
        return not self.is_simulated and self.labelled_set not in REAL_SETS

    @property
    def split_used(self) -> str:
        """The split, with the default of the kind of set filled in."""
        if self.split is not None:
            return self.split
        return ALL if self.is_own else "test"
