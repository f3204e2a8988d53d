"""Cutouts of single objects on disk: small squares of signal to noise with the object's islands and what it is.

A file holds all cutouts of one shard of maps as plain arrays (safetensors); it is mapped into memory and read cutout by
cutout, as tiles are. What an object is stays in the words of its source: which class of a network they mean is for the
network to say, and may change without new data. Nothing here needs the libraries of preparation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.array_files import ArrayFile, ArrayFormat, FileStore
from neanias_ml.datasets.channels import significance_of_asinh

CUTOUT_SUFFIX = ".cutouts.safetensors"
FRAME = 96
"""Side of a cutout in pixels."""
MARGIN = 1.2
"""Side of a cutout over the diameter of the smallest circle that holds the object."""
MOST_ISLANDS = 255
"""Islands of one object that are told apart; further ones are joined to the last."""
FORMAT = ArrayFormat(
    name="neanias_ml cutouts 1",
    note="cutouts",
    suffix=CUTOUT_SUFFIX,
    arrays=("asinh_snr", "islands", "beam", "confidence"),
    texts=("words", "fields"),
    title="file of cutouts",
    content="cutouts",
    damaged="CutoutsDamaged",
    missing="NoCutouts",
)


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
    return {"format": FORMAT.name, "frame": FRAME, "margin": MARGIN}


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
    texts = {"words": [cutout.word for cutout in cutouts], "fields": [cutout.field for cutout in cutouts]}
    FORMAT.write(path, _packed(cutouts, size=sizes.pop()), texts)


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
    return FORMAT.paths(directory)


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
        self._file = ArrayFile(path, FORMAT)
        self.words, self.fields = self._file.texts["words"], self._file.texts["fields"]
        self.beam: NDArray[np.float32] = self._file.array("beam")
        self.confidence: NDArray[np.float32] = self._file.array("confidence")

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, row: int) -> MorphologyCutout:
        return MorphologyCutout(
            asinh_snr=self._file.mapped["asinh_snr"][row],
            islands=self._file.mapped["islands"][row],
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
        self._file.verified()


class CutoutStore(FileStore[MorphologyCutout]):
    """Cutouts of the files of a folder, in the order of the files; see `neanias_ml.datasets.array_files.FileStore`.

    Parameters
    ----------
    directory
        Folder with at least one file of cutouts.

    Attributes
    ----------
    words, fields
        (N,) what each object is and its sky field, known without reading the cutout.
    confidence
        (N,) how sure that is, 0 to 1.

    Raises
    ------
    InputError
        ``NoCutouts`` or ``CutoutsDamaged``.
    """

    columns = ("words", "fields", "confidence")
    words: list[str]
    fields: list[str]
    confidence: list[np.float32]

    def __init__(self, directory: Path) -> None:
        super().__init__(cutout_paths(directory))

    @staticmethod
    def open_file(path: Path) -> CutoutFile:
        """A file of cutouts."""
        return CutoutFile(path)


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
