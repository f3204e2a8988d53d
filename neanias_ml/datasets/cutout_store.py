"""Cutouts of single objects on disk: small squares of signal to noise with the object's islands and what it is.

A file holds all cutouts of one shard of maps as plain arrays (safetensors); it is mapped into memory and read cutout by
cutout, as tiles are. What an object is stays in the words of its source: which class of a network they mean is for the
network to say, and may change without new data. Nothing here needs the libraries of preparation.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from neanias_ml.datasets.channels import significance_of_asinh
from neanias_ml.errors import InputError

CUTOUT_SUFFIX = ".cutouts.safetensors"
FRAME = 96
"""Side of a cutout in pixels."""
MARGIN = 1.2
"""Side of a cutout over the diameter of the smallest circle that holds the object."""
FORMAT = "neanias_ml cutouts 1"
MOST_ISLANDS = 255
"""Islands of one object that are told apart; further ones are joined to the last."""
OPEN_FILES = 64
"""Most files that are mapped at a time."""
_ARRAYS = ("asinh_snr", "islands", "beam", "confidence")
_NOTE = "cutouts"


@dataclass(frozen=True)
class MorphologyCutout:
    """One object in a square frame, scaled so that it fills it.

    Attributes
    ----------
    asinh_snr
        (F, F) float16: asinh channel of the map's signal to noise (see `neanias_ml.datasets.channels.asinh_scale`),
        NaN where blank.
    islands
        (F, F) uint8: k on the object's k-th island, 0 elsewhere.
    beam
        Width of the beam (FWHM) in pixels of the frame.
    word
        What the object is, in the words of its source; "" where that is not known.
    confidence
        How sure the source is of that, 0 to 1.
    field
        Name of the sky field; splits keep fields apart.

    Raises
    ------
    ValueError
        If the arrays are not two squares of one size, or a number is out of range.
    """

    asinh_snr: NDArray[np.float16]
    islands: NDArray[np.uint8]
    beam: float
    word: str = ""
    confidence: float = 1.0
    field: str = ""

    def __post_init__(self) -> None:
        shape = self.asinh_snr.shape
        if len(shape) != 2 or shape[0] != shape[1] or self.islands.shape != shape:
            raise ValueError(f"a cutout is a square with islands of its size, not {shape} and {self.islands.shape}")
        if not self.beam > 0 or not 0 <= self.confidence <= 1:
            raise ValueError(f"the beam must be positive, not {self.beam}; confidence in [0, 1], not {self.confidence}")

    @property
    def size(self) -> int:
        """Side in pixels."""
        return int(self.asinh_snr.shape[0])

    @property
    def significance(self) -> NDArray[np.float32]:
        """(F, F) signal to noise, NaN where blank."""
        return significance_of_asinh(self.asinh_snr)


def cutout_settings() -> dict[str, Any]:
    """How cutouts are made (JSON values), for the plan and the manifest of prepared data."""
    return {"format": FORMAT, "frame": FRAME, "margin": MARGIN}


def write_cutouts(path: Path, cutouts: Sequence[MorphologyCutout]) -> None:
    """Write cutouts of one size, or none at all; the file appears whole or not at all.

    Raises
    ------
    ValueError
        If they differ in size.
    """
    sizes = {cutout.size for cutout in cutouts} or {FRAME}
    if len(sizes) != 1:
        raise ValueError(f"the cutouts of one file have one size, not {sorted(sizes)}")
    arrays = _packed(cutouts, size=sizes.pop())
    texts = {"words": [cutout.word for cutout in cutouts], "fields": [cutout.field for cutout in cutouts]}
    note = json.dumps({"format": FORMAT, **texts, "sha256": _digest(arrays, texts)})
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.part")
    try:
        save_file(arrays, staging, metadata={_NOTE: note})
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def read_cutouts(path: Path) -> list[MorphologyCutout]:
    """Cutouts of a file, in the order in which they were written, after a check of its digest.

    Raises
    ------
    InputError
        ``CutoutsDamaged`` if the file is not what was written.
    """
    file = CutoutFile(path)
    file.verify()
    return [file[row] for row in range(len(file))]


def cutout_paths(directory: Path) -> list[Path]:
    """Files of cutouts in a folder, in name order.

    Raises
    ------
    InputError
        ``NoCutouts`` if there is none.
    """
    paths = sorted(path for path in directory.glob(f"*{CUTOUT_SUFFIX}") if not path.name.startswith("."))
    if not paths:
        raise InputError("NoCutouts", f"{directory} holds no cutouts (*{CUTOUT_SUFFIX}); prepare the data again")
    return paths


class CutoutFile:
    """The cutouts of one file, each read when it is asked for.

    Parameters
    ----------
    path
        The file. It is mapped, and stays open as long as this object lives.

    Raises
    ------
    InputError
        ``CutoutsDamaged`` if the file is not a whole file of cutouts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = safe_open(path, framework="numpy")
            note = json.loads((self._file.metadata() or {}).get(_NOTE, "{}"))
            if note.get("format") != FORMAT:
                raise ValueError(f"its format is {note.get('format', 'not stated')}, not {FORMAT}")
            self._sha256: str = note["sha256"]
            self.words: list[str] = note["words"]
            self.fields: list[str] = note["fields"]
            self._maps = {name: self._file.get_slice(name) for name in ("asinh_snr", "islands")}
            self.beam: NDArray[np.float32] = self._file.get_tensor("beam")
            self.confidence: NDArray[np.float32] = self._file.get_tensor("confidence")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise self._damaged(error) from error

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, row: int) -> MorphologyCutout:
        return MorphologyCutout(
            asinh_snr=self._maps["asinh_snr"][row],
            islands=self._maps["islands"][row],
            beam=float(self.beam[row]),
            word=self.words[row],
            confidence=float(self.confidence[row]),
            field=self.fields[row],
        )

    def verify(self) -> None:
        """Compare the content with the digest that was taken when it was written.

        Raises
        ------
        InputError
            ``CutoutsDamaged`` if they differ.
        """
        arrays = {name: self._file.get_tensor(name) for name in _ARRAYS}
        if _digest(arrays, {"words": self.words, "fields": self.fields}) != self._sha256:
            raise self._damaged("its content is not what was written")

    def _damaged(self, reason: object) -> InputError:
        return InputError(
            "CutoutsDamaged",
            f"{self.path} is not a readable file of cutouts ({reason}); delete it and prepare the data again",
        )


class CutoutStore(Sequence[MorphologyCutout]):
    """Cutouts of the files of a folder as one sequence, in the order of the files, read one by one.

    May be sent to other processes; each opens the files for itself.

    Parameters
    ----------
    directory
        Folder with at least one file of cutouts.

    Attributes
    ----------
    words, fields
        (N,) what each object is and its sky field, known without reading the cutout.
    confidence
        (N,) float32.

    Raises
    ------
    InputError
        ``NoCutouts`` or ``CutoutsDamaged``.
    """

    def __init__(self, directory: Path) -> None:
        self.paths = cutout_paths(directory)
        self._places: list[tuple[int, int]] = []
        self.words: list[str] = []
        self.fields: list[str] = []
        for number, file in enumerate(map(CutoutFile, self.paths)):
            self._places += [(number, row) for row in range(len(file))]
            self.words += file.words
            self.fields += file.fields
        self._open: OrderedDict[int, CutoutFile] = OrderedDict()

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """(N,) float32 in [0, 1]."""
        by_file = [CutoutFile(path).confidence for path in self.paths]
        return np.array([by_file[number][row] for number, row in self._places], dtype=np.float32)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        number, row = self._places[index]
        return self._file(number)[row]

    def rows(self, chosen: Sequence[int] | NDArray[np.integer]) -> CutoutStore:
        """Some cutouts of the store, in the order given, as a store."""
        part = copy.copy(self)
        part.__dict__.pop("confidence", None)
        indices = [int(row) for row in chosen]
        part._places, part._open = [self._places[row] for row in indices], OrderedDict()
        part.words, part.fields = [self.words[row] for row in indices], [self.fields[row] for row in indices]
        return part

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def _file(self, number: int) -> CutoutFile:
        file = self._open.get(number)
        if file is None:
            file = self._open[number] = CutoutFile(self.paths[number])
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        return file


def _packed(cutouts: Sequence[MorphologyCutout], *, size: int) -> dict[str, NDArray[Any]]:
    square = (len(cutouts), size, size)
    arrays: dict[str, NDArray[Any]] = {
        "asinh_snr": np.empty(square, dtype=np.float16),
        "islands": np.empty(square, dtype=np.uint8),
        "beam": np.array([cutout.beam for cutout in cutouts], dtype=np.float32),
        "confidence": np.array([cutout.confidence for cutout in cutouts], dtype=np.float32),
    }
    for row, cutout in enumerate(cutouts):
        arrays["asinh_snr"][row], arrays["islands"][row] = cutout.asinh_snr, cutout.islands
    return arrays


def _digest(arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, list[str]]) -> str:
    """SHA-256 of names, shapes, types and bytes of all arrays, and of the texts."""
    total = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()
