"""Settings of the background and noise estimate."""

from __future__ import annotations

from dataclasses import dataclass

from neanias_ml.errors import UsageError
from neanias_ml.extraction.config_checks import require_finite
from neanias_ml.extraction.noise.mesh_kernels import BIWEIGHT, CLIPPED, MEAN, MEDIAN

ESTIMATORS = {"clipped": CLIPPED, "median": MEDIAN, "biweight": BIWEIGHT, "mean": MEAN}


@dataclass(frozen=True)
class BackgroundConfig:
    """Settings of the background and noise estimate."""

    mesh_beams: float = 12.0
    """side of a mesh cell in beam widths (geometric-mean FWHM), 4 to 100: small enough to follow the noise of a mosaic,
    large enough for some 40 independent values"""
    estimator: str = "clipped"
    """level and spread of a cell: clipped (median and deviation within 3 sigma), median (and MAD), biweight, or mean
    (and deviation; for maps without sources only)"""
    mask_seed: float = 4.0
    """a masked source has a pixel above this many sigma, 2 to 100; below 4 noise peaks are masked and the noise low"""
    mask_merge: float = 2.0
    """a masked source reaches down to this many sigma, 1 to mask_seed"""
    mask_diffuse: float = 4.0
    """emission is masked too where the map averaged over diffuse_beams exceeds this many of its own sigma; 0: not"""
    diffuse_beams: float = 4.0
    """side of that average in beam widths, 1 to mesh_beams"""
    max_iterations: int = 5
    """most repetitions of estimate and mask, 0 to 50; two or three are the rule"""
    converged_fraction: float = 0.003
    """stop when less than this fraction of the pixels changes in the mask, 0 to 1"""
    bright_snr: float = 100.0
    """sources above this signal to noise get a noise profile of their own, for their sidelobes; 0: none do"""
    bright_beams: float = 40.0
    """largest radius of such a profile in beam widths, 4 to 1000; beyond, the mesh follows by itself"""

    def __post_init__(self) -> None:
        require_finite(self)
        if self.estimator not in ESTIMATORS:
            raise UsageError(
                "BackgroundConfig", f"estimator is one of {', '.join(ESTIMATORS)}, not {self.estimator!r}"
            )
        if not self.mesh_beams > 0 or not 0 < self.mask_merge <= self.mask_seed:
            raise UsageError(
                "BackgroundConfig",
                f"mesh_beams ({self.mesh_beams}) must be positive, and mask_merge ({self.mask_merge}) positive and not "
                f"above mask_seed ({self.mask_seed})",
            )
        if self.max_iterations < 0 or not 0 <= self.converged_fraction < 1:
            raise UsageError(
                "BackgroundConfig", "max_iterations must not be negative and converged_fraction must lie in [0, 1)"
            )
        if min(self.mask_diffuse, self.bright_snr) < 0 or min(self.diffuse_beams, self.bright_beams) <= 0:
            raise UsageError(
                "BackgroundConfig",
                "mask_diffuse and bright_snr must not be negative, diffuse_beams and bright_beams must be positive",
            )
