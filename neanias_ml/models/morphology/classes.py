"""Classes of morphology, and which of them the words of simulations and label sets mean."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.field_names import source_of_field

MORPHOLOGY_NAMES = ("FR-I", "FR-II", "FR-X", "bent", "resolved", "shell", "nebula", "diffuse", "ring")
"""In the order of the network's outputs.

FR-I and FR-II are Fanaroff & Riley's (1974, MNRAS 167, 31P) edge-darkened and edge-brightened radio galaxies, FR-X
those between the two or unlike on their two sides, bent edge-darkened ones whose jets or tails are; resolved is one
source with a single peak; shell a supernova remnant with a limb; nebula a filled, irregular or small one (HII regions,
planetary nebulae, plerions); diffuse emission without jets, hot spots or limb (relics, halos, dying galaxies,
filaments); ring an odd radio circle. A bent galaxy is an FR-I galaxy too, and counts as one where only the
Fanaroff-Riley class is asked for.
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

FANAROFF_RILEY = ("FR-I", "FR-II")
"""The two classes that ``edge_brightened`` tells apart."""
BENT_UNTOLD = ("radiogalaxynet",)
"""Label sets that say FR-I of straight and bent galaxies alike: of these, FR-I means FR-I or bent."""


def labels_of_words(words: Sequence[str]) -> NDArray[np.int64]:
    """Index (N,) in ``MORPHOLOGY_NAMES`` of what each word means, `UNKNOWN` where it means no class."""
    index = {word: MORPHOLOGY_NAMES.index(name) for word, name in MORPHOLOGY_OF_WORD.items()}
    return np.array([index.get(word, UNKNOWN) for word in words], dtype=np.int64)


def bent_untold(fields: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the labels (N,) of some sky fields do not tell bent galaxies from FR-I ones; see `BENT_UNTOLD`."""
    return np.isin([source_of_field(field) for field in fields], BENT_UNTOLD)


def told_apart(probabilities: NDArray[np.float64], untold: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Probabilities (N, 9) of what labels say: that of bent added to that of FR-I where they do not tell the two apart.

    Parameters
    ----------
    probabilities
        (N, 9) in the order of `MORPHOLOGY_NAMES`.
    untold
        (N,) see `bent_untold`.
    """
    straight, bent = MORPHOLOGY_NAMES.index("FR-I"), MORPHOLOGY_NAMES.index("bent")
    said = probabilities.copy()
    said[untold, straight] += said[untold, bent]
    said[untold, bent] = 0.0
    return said


def edge_brightened(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability (N,) that an object is FR-II, given that it is FR-I, bent or FR-II; 0.5 where it is none of them."""
    one, two, bent = (probabilities[:, MORPHOLOGY_NAMES.index(name)] for name in (*FANAROFF_RILEY, "bent"))
    either = one + two + bent
    return np.divide(two, either, out=np.full(len(either), 0.5), where=either > 0)
