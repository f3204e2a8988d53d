"""Files of prepared data: named arrays that are mapped into memory, not read, with texts and a digest over all.

The files are safetensors: a JSON header with the place of every array, then the arrays, uncompressed. Any number of
processes and threads may read one at a time, and nothing in it is code.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import stat
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from neanias_ml.errors import InputError

OPEN_FILES = 256
"""Most files that a store maps at a time: those of three splits are below the usual limit of 1024 of a process."""

Arrays = Mapping[str, NDArray[Any]]
Texts = Mapping[str, Sequence[str]]
RowT = TypeVar("RowT")
RowT_co = TypeVar("RowT_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class ArrayFormat:
    """What the files of one kind of prepared data hold, and what they are called in errors."""

    name: str
    """name and version of the format, kept in each file"""
    note: str
    """the one entry of a file's metadata: safetensors writes several in any order, and equal data make equal files"""
    suffix: str
    """how names of files end; before it a name has no dot"""
    arrays: tuple[str, ...]
    texts: tuple[str, ...]
    """names of the lists of texts beside the arrays"""
    title: str
    """what a file is: ``shard of tiles``"""
    content: str
    """what is in it: ``prepared tiles``"""
    damaged: str
    """code of the error for a file that is not whole"""
    missing: str
    """code of the error for a folder without such files"""

    def write(self, path: Path, arrays: Arrays, texts: Texts) -> None:
        """Write a file, with the permissions that the process gives to new files; it appears whole or not at all."""
        note = json.dumps({"format": self.name, **texts, "sha256": self.digest(arrays, texts)})
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(f".{path.name}.part")
        try:
            staging.unlink(missing_ok=True)
            staging.touch()
            mode = stat.S_IMODE(staging.stat().st_mode)
            save_file(dict(arrays), staging, metadata={self.note: note})
            staging.chmod(mode)  # safetensors lets nobody but the owner read what it writes
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)

    def digest(self, arrays: Arrays, texts: Texts) -> str:
        """SHA-256 of names, shapes, types and bytes of all arrays, and of the texts (of one list without its name)."""
        said = texts if len(self.texts) > 1 else texts[self.texts[0]]
        total = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            total.update(f"{name} {array.dtype.str} {array.shape}".encode())
            total.update(array.data if array.size else b"")
        return total.hexdigest()

    def paths(self, directory: Path) -> list[Path]:
        """Files of a folder in name order.

        Raises
        ------
        InputError
            ``missing`` if there is none.
        """
        paths = sorted(directory.glob(f"*{self.suffix}"))
        paths = [path for path in paths if "." not in path.name.removesuffix(self.suffix)]
        if not paths:
            lack = f"holds no {self.content} (*{self.suffix})"
            raise InputError(self.missing, f"{directory} {lack}; prepare the data with this version")
        return paths


class ArrayFile:
    """A file of prepared data. It is mapped, and stays open as long as this object lives.

    Attributes
    ----------
    texts
        Its lists of texts by name.

    Raises
    ------
    InputError
        ``damaged`` of the format if the file is not a whole one.
    """

    def __init__(self, path: Path, kind: ArrayFormat) -> None:
        self.path = path
        self.kind = kind
        with self._told():
            self._file = safe_open(path, framework="numpy")
            note = json.loads((self._file.metadata() or {}).get(kind.note, "{}"))
            if note.get("format") != kind.name:
                raise ValueError(f"its format is {note.get('format', 'not stated')}, not {kind.name}")
            self._sha256: str = note["sha256"]
            self.texts: dict[str, list[str]] = {name: note[name] for name in kind.texts}
            self.mapped: dict[str, Any] = {name: self._file.get_slice(name) for name in kind.arrays}

    def array(self, name: str) -> NDArray[Any]:
        """A whole array, in memory."""
        array: NDArray[Any] = self._file.get_tensor(name)
        return array

    def verified(self) -> dict[str, NDArray[Any]]:
        """All arrays, after comparison with the digest that was taken when they were written.

        Raises
        ------
        InputError
            ``damaged`` of the format if they differ.
        """
        with self._told():
            arrays = {name: self.array(name) for name in self.kind.arrays}
            if self.kind.digest(arrays, self.texts) != self._sha256:
                raise ValueError("its content is not what was written")
        return arrays

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise InputError(
                self.kind.damaged,
                f"{self.path} is not a readable {self.kind.title} ({error}); delete it and prepare the data again",
            ) from error


class Rows(Protocol[RowT_co]):
    """The rows of one file, with what a store keeps of each as attributes."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> RowT_co: ...


class FileStore(Sequence[RowT]):
    """Rows of the files of a folder as one sequence, in the order of the files, each read when it is asked for.

    Holds what subclasses keep of every row, and no pixels: those stay in the system's page cache, which all processes
    of a machine share. May be sent to other processes; each opens the files for itself.
    """

    columns: ClassVar[tuple[str, ...]]
    """attributes with a value for each row, which are known without reading it"""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._places: list[tuple[int, int]] = []
        self._open: OrderedDict[int, Rows[RowT]] = OrderedDict()
        columns: dict[str, list[Any]] = {name: [] for name in self.columns}
        for number, path in enumerate(self.paths):
            file = self.open_file(path)
            self._places += [(number, row) for row in range(len(file))]
            for name in self.columns:
                columns[name].extend(getattr(file, name))
        self.__dict__.update(columns)

    @staticmethod
    @abstractmethod
    def open_file(path: Path) -> Rows[RowT]:
        """The rows of a file, with the columns as attributes."""

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        number, row = self._places[index]
        return self._file(number)[row]

    def rows(self, chosen: Sequence[int] | NDArray[np.integer]) -> Self:
        """Some rows of the store, in the order given, as a store."""
        part = copy.copy(self)
        indices = [int(row) for row in chosen]
        for name in ("_places", *self.columns):
            values = getattr(self, name)
            setattr(part, name, [values[row] for row in indices])
        return part

    def every(self, step: int) -> Self:
        """Evenly spaced rows of the store, as a store."""
        return self.rows(range(0, len(self), step))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def _file(self, number: int) -> Rows[RowT]:
        file = self._open.get(number)
        if file is None:
            file = self._open[number] = self.open_file(self.paths[number])
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        return file
