"""Probability that an island is spurious: boosted decision trees on a few terms of its features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.errors import ModelError
from neanias_ml.extraction.artefacts.features import ArtefactFeatures
from neanias_ml.extraction.artefacts.terms import TERMS, model_terms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MODEL_ASSET = "artefact_evidence.json"
_HOW = "fit it with train/artefact_evidence.py"


@dataclass(frozen=True, eq=False)
class ArtefactModel:
    """Small trees whose leaves add up to the log odds of a spurious island (Friedman 2001, Ann. Stat. 29, 1189).

    Attributes
    ----------
    intercept
        Log odds before any tree.
    roots
        (R,) node at which each tree begins.
    term
        (M,) place in `TERMS` of the term that a node looks at; -1 at a leaf.
    threshold
        (M,) islands whose term is at most this go on at ``low``, others at ``high``; 0 at a leaf.
    low, high
        (M,) nodes further down, always behind the node itself; 0 at a leaf.
    value
        (M,) what a leaf adds; 0 elsewhere.
    """

    intercept: float
    roots: IntArray
    term: IntArray
    threshold: FloatArray
    low: IntArray
    high: IntArray
    value: FloatArray

    def probability(self, features: ArtefactFeatures) -> FloatArray:
        """Probability (N,) of each island to be spurious."""
        terms = model_terms(features)
        table = np.stack([terms[name] for name in TERMS], axis=1)
        nodes = (self.roots, self.term, self.threshold, self.low, self.high, self.value)
        log_odds = self.intercept + _summed_leaves(table, *nodes)
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))

    def save(self, path: Path, *, notes: dict[str, object]) -> None:
        """Write the trees, with ``notes`` on how they were fitted, as JSON."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        head = json.dumps({"notes": notes, "terms": list(TERMS), "intercept": self.intercept}, indent=2)
        body = "".join(f',\n  "{name}": {json.dumps(values)}' for name, values in arrays.items())
        path.write_text(head.removesuffix("\n}") + body + "\n}\n", encoding="utf-8")

    @classmethod
    def read(cls, text: str) -> ArtefactModel:
        """Parse what `save` wrote.

        Raises
        ------
        ModelError
            ``ArtefactModel`` if the text is no such JSON, its trees are no trees, or its terms are not those of this
            version.
        """
        try:
            content = json.loads(text)
            names = list(content["terms"])
            arrays: dict[str, Any] = {name: np.asarray(content[name], dtype=kind) for name, kind in _ARRAYS.items()}
            model = cls(intercept=float(content["intercept"]), **arrays)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ModelError("ArtefactModel", f"the artefact model cannot be read ({error}); {_HOW}") from error
        if names != list(TERMS):
            odd = ", ".join(sorted(set(names) ^ set(TERMS))) or "in another order"
            raise ModelError(
                "ArtefactModel", f"the artefact model has other terms than this version ({odd}); {_HOW}"
            )
        model._require_trees()
        return model

    def _require_trees(self) -> None:
        """Refuse nodes that lead nowhere or round in circles."""
        size = len(self.term)
        branch, here = self.term >= 0, np.arange(size)
        whole = all(array.ndim == 1 for array in (self.roots, self.term))
        whole = whole and all(getattr(self, name).shape == (size,) for name in _ARRAYS if name != "roots")
        whole = whole and bool(
            (self.term < len(TERMS)).all()
            and ((self.roots >= 0) & (self.roots < size)).all()
            and all(((down > here) & (down < size))[branch].all() for down in (self.low, self.high))
            and np.isfinite([self.intercept, *self.threshold, *self.value]).all()
        )
        if not whole:
            raise ModelError("ArtefactModel", f"the trees of the artefact model are damaged; {_HOW}")


_ARRAYS = {
    "roots": np.int64, "term": np.int64, "threshold": np.float64, "low": np.int64, "high": np.int64,
    "value": np.float64,
}  # fmt: skip


@njit(cache=True, nogil=True)
def _summed_leaves(
    table: FloatArray,
    roots: IntArray,
    term: IntArray,
    threshold: FloatArray,
    low: IntArray,
    high: IntArray,
    value: FloatArray,
) -> FloatArray:
    """Sum over all trees of the leaves that the rows of a table (N, T) come to, (N,)."""
    result = np.zeros(len(table))
    for row in range(len(table)):
        terms, total = table[row], 0.0
        for root in roots:
            node = root
            while term[node] >= 0:
                node = low[node] if terms[term[node]] <= threshold[node] else high[node]
            total += value[node]
        result[row] = total
    return result


@lru_cache(maxsize=1)
def shipped_model() -> ArtefactModel:
    """The model that comes with the package."""
    asset = resources.files("neanias_ml.extraction.artefacts") / "assets" / MODEL_ASSET
    return ArtefactModel.read(asset.read_text(encoding="utf-8"))
