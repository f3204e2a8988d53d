"""All evidence together: levels, wavelet planes, saliency, straight pieces and shells as one log-odds per bin.

Each kind of evidence is a significance; the log of its Bayes factor (how much likelier it is with emission than
without) is weighted and summed. The kinds see the same photons, so the sum counts them more than once; weights and
`TEMPER` make up for that. They were chosen on simulated residual maps (beam-correlated noise, point sources below
5 sigma, remnants of brighter ones, sidelobes) so that the default seed is reached in fewer than one in ten maps of
1024 x 1024 pixels without extended emission, and the default merge threshold in about four bins in a thousand.
``tests/benchmarks/extended_recovery.py`` measures both that rate and what is recovered.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction.extended.blocks import Block
from neanias_ml.extraction.extended.coarse import REBIN, CoarseBlock
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.evidence import level_significance, log_bayes_factor, plane_significance
from neanias_ml.extraction.extended.matched import FilterBank, largest_filter, line_significance
from neanias_ml.extraction.extended.saliency import salient_significance
from neanias_ml.extraction.extended.shells import find_shells, paint_shells
from neanias_ml.extraction.extended.starlet import Starlet, starlet_transform

FloatMap = NDArray[np.float32]

PLANE_WEIGHT = 0.1
SALIENCY_WEIGHT = 0.2
LINE_WEIGHT = 0.3
"""Weights of the weaker kinds against 1 for levels and shells."""
TEMPER = 0.55
"""Share of the summed evidence that is independent."""
FUSED_PRIOR = -5.8
"""Log-odds where no evidence speaks either way."""
EDGE_LEVEL = 0.3
"""Level at the edge of an object, in units of the brightest level around."""
AROUND_BEAMS = 14.0
"""Width of the square in which that brightest level is looked for: the reach of the wide filters."""


def fused_odds(block: Block, config: ExtendedConfig) -> FloatMap:
    """Log-odds of emission from all evidence, float32 (ny, nx)."""
    starlet = starlet_transform(block.values, scales=config.max_scale)
    evidence = log_bayes_factor(level_significance(block, starlet, config=config))
    evidence += PLANE_WEIGHT * log_bayes_factor(plane_significance(block, starlet, config=config))
    coarse = CoarseBlock.of_block(block, starlet, config=config)
    evidence += coarse.spread(coarse_evidence(coarse, config=config), evidence.shape)
    odds = np.float32(TEMPER) * evidence + np.float32(FUSED_PRIOR)
    return odds + beside_brighter(block, starlet, config=config)


def beside_brighter(block: Block, starlet: Starlet, *, config: ExtendedConfig) -> FloatMap:
    """Log-odds, 0 or less, of a bin against belonging to the brighter emission around it, float32 (ny, nx).

    Wide filters answer beside an object too. A bin of an object of level A has at least `EDGE_LEVEL` A, to within
    the noise of the finest smoothings; how much likelier it would then be that the bin is sky is taken off.
    """
    usual = np.ascontiguousarray(starlet.smoothed[config.min_scale + 1][::REBIN, ::REBIN])
    size = 2 * round(0.5 * AROUND_BEAMS * block.grid.beam / REBIN) + 1
    around = np.maximum(ndimage.maximum_filter(usual, size=size), 0)
    against = np.zeros_like(block.values)
    brightest = np.repeat(np.repeat(around, REBIN, axis=0), REBIN, axis=1)[: against.shape[0], : against.shape[1]]
    for scale in range(config.min_scale - 1, config.min_scale + 2):
        missing = starlet.smoothed[scale] - np.float32(EDGE_LEVEL) * brightest
        np.minimum(against, brightest * missing / np.float32(block.grid.noise.smoothing(scale) ** 2), out=against)
    return against


def coarse_evidence(coarse: CoarseBlock, *, config: ExtendedConfig) -> FloatMap:
    """Weighted log Bayes factors of what is looked for on the coarse grid, float32.

    No shell through a bin says nothing against emission there, so shells only add.
    """
    bank = FilterBank.of_block(coarse, largest=largest_filter(coarse.beam, config=config))
    evidence = SALIENCY_WEIGHT * log_bayes_factor(salient_significance(coarse, config=config))
    evidence += LINE_WEIGHT * log_bayes_factor(line_significance(bank))
    shells = paint_shells(find_shells(bank, config=config), coarse.values.shape)
    evidence += np.where(np.isfinite(shells), np.maximum(log_bayes_factor(shells), 0), np.float32(0.0))
    return evidence


def log_odds_at(probability: float) -> float:
    """Log-odds of a probability between 0 and 1."""
    return math.log(probability / (1 - probability))
