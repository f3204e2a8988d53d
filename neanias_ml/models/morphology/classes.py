"""Classes of morphology, and which of them the words of simulations and label sets mean."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

MORPHOLOGY_NAMES = ("FR-I", "FR-II", "FR-X", "bent", "resolved", "shell", "nebula", "diffuse", "ring")
"""In the order of the network's outputs.

FR-I and FR-II are Fanaroff & Riley's (1974, MNRAS 167, 31P) edge-darkened and edge-brightened radio galaxies, FR-X
those between the two or unlike on their two sides, bent those whose jets or tails are; resolved is one source with a
single peak; shell a supernova remnant with a limb; nebula a filled, irregular or small one (HII regions, planetary
nebulae, plerions); diffuse emission without jets, hot spots or limb (relics, halos, dying galaxies, filaments); ring an
odd radio circle.
"""

UNSURE = "unsure"
"""Instead of a name, where no class is probable enough."""
UNKNOWN = -1
"""Label of a word that means no class."""

MORPHOLOGY_OF_WORD = MappingProxyType({
    # simulated kinds
    "FR-I": "FR-I",
    "FR-II": "FR-II",
    "double-double": "FR-II",  # two pairs of edge-brightened lobes; MiraBest has the word too
    "X-shaped": "FR-II",  # edge-brightened, with wings (Leahy & Parma 1992)
    "Z-shaped": "FR-II",
    "wide-angle tail": "bent",
    "narrow-angle tail": "bent",
    "head-tail": "bent",  # also in MiraBest
    "gauss": "resolved",
    "spiral": "resolved",
    "SNR shell": "shell",
    "SNR composite": "shell",
    "SNR filled": "nebula",
    "HII irregular": "nebula",
    "HII shell": "nebula",
    "HII cometary": "nebula",
    "PN disk": "nebula",
    "PN ring": "nebula",
    "PN bipolar": "nebula",
    "remnant": "diffuse",  # lobes of a galaxy whose jets have ceased
    "relic": "diffuse",
    "halo": "diffuse",
    "filament": "diffuse",
    "ORC": "ring",
    # MiraBest (Miraghaei & Best 2017): the form where it is special, else the Fanaroff-Riley class
    "FRI": "FR-I",
    "FRII": "FR-II",
    "hybrid": "FR-X",
    "WAT": "bent",
    # RadioGalaxyNET (Gupta et al. 2024); FR-I and FR-II as above
    "FR-X": "FR-X",
    "R": "resolved",
})  # fmt: skip
"""Class of each word. Words that are not here mean none: ``point`` (blended points have no shape of their own),
``artefact``, and words of label sets that nobody has mapped."""


def labels_of_words(words: Sequence[str]) -> NDArray[np.int64]:
    """Index (N,) in ``MORPHOLOGY_NAMES`` of what each word means, `UNKNOWN` where it means no class."""
    index = {word: MORPHOLOGY_NAMES.index(name) for word, name in MORPHOLOGY_OF_WORD.items()}
    return np.array([index.get(word, UNKNOWN) for word in words], dtype=np.int64)
