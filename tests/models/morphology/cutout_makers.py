"""Cutouts drawn from formulas: doubles, shells, single blobs and rows of three, on beam-correlated noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from neanias_ml.datasets.channels import asinh_scale
from neanias_ml.datasets.cutout_store import FRAME, MorphologyCutout
from neanias_ml.training.morphology.variation import frame_noise

WORDS = {"FR-II": "FR-II", "SNR shell": "shell", "gauss": "resolved"}
"""Words that `drawn_cutout` knows, and their classes."""
BEAM = 10.0


def drawn_cutout(word, seed, *, peak=None, noise=True, field="f"):
    """A cutout of one of `WORDS`: two lobes, a shell, or one blob, at any angle."""
    rng = np.random.default_rng([seed, sorted(WORDS).index(word)])
    middle, reach = (FRAME - 1) / 2, 0.5 * FRAME / 1.2
    y, x = np.mgrid[:FRAME, :FRAME] - middle
    angle = rng.uniform(0, 2 * np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    width = 5.0
    if word == "FR-II":
        place = reach - 12
        model = sum(np.exp(-((along - side * place) ** 2 + across**2) / (2 * width**2)) for side in (-1, 1))
    elif word == "SNR shell":
        model = np.exp(-((np.hypot(x, y) - reach + 9) ** 2) / (2 * (0.7 * width) ** 2))
    else:
        model = np.exp(-(along**2 / (2 * 14.0**2) + across**2 / (2 * 11.0**2)))
    snr = (peak or rng.uniform(15, 60)) * model
    islands, _ = ndimage.label(snr > 2.6, np.ones((3, 3)))
    if noise:
        snr = snr + frame_noise(rng, size=FRAME, beam=BEAM)
    return MorphologyCutout(asinh_scale(snr.astype(np.float32)).astype(np.float16), islands.astype(np.uint8), BEAM,
                            word=word, field=field)  # fmt: skip


def drawn_set(count, seed, *, field="f"):
    """Cutouts of all `WORDS` in turn, three to a field."""
    words = sorted(WORDS)
    return [drawn_cutout(words[row % 3], seed * 10_000 + row, field=f"{field}-{row // 3}") for row in range(count)]
