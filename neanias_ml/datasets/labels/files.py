"""What all formats of labels share: JSON that explains itself, files that moved, extra fields, problems told."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from neanias_ml.datasets.labels.labelled import LabelledImage, SkyPlace
from neanias_ml.errors import InputError

Fields = dict[str, Any]
Report = Callable[[InputError], None]
"""Told of a problem with one image or object, which is then left out, unless the call raises."""

SKY_GROUP, SKY_PLACE = "sky_group", "sky_place"
"""Fields of an image in every format: its `LabelledImage.sky_group` and its `LabelledImage.place`."""


def refuse(problem: InputError) -> NoReturn:
    """Raise the problem: the first one ends the reading."""
    raise problem


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises
    ------
    InputError
        ``LabelsMissing`` if there is no such file, ``JsonBroken`` if it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError("LabelsMissing", f"there is no label file {path}") from error
    except OSError as error:
        raise InputError("LabelsUnreadable", f"the label file {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError("JsonBroken", f"{path} is no JSON file: it is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}: {error.msg}"
        raise InputError("JsonBroken", f"{path} is no valid JSON ({place}); write it again or mend it") from error
    except (ValueError, RecursionError) as error:
        place = "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
        raise InputError("JsonBroken", f"{path} is no valid JSON ({place}); write it again or mend it") from error


def json_text(content: Any, *, indent: int | None = None) -> str:
    """JSON in ASCII; values that are no numbers stay ``NaN``, as Python's own reader and writer have them."""
    return json.dumps(content, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    """Read-only mappings as dictionaries; numbers of numpy as Python's."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def whole_number(value: Any) -> int | None:
    """A number without fraction as int; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None


def locate(name: str, *, folders: Iterable[Path]) -> Path | None:
    """A file by the path that labels give; None where it is nowhere.

    A relative path is tried below each folder. An absolute path that is gone, as after a move to another machine, is
    tried there by ever shorter ends: ``/old/masks/a.fits`` as ``old/masks/a.fits``, ``masks/a.fits``, ``a.fits``.

    Raises
    ------
    InputError
        ``PathBroken`` for what the file system takes for no path, such as a name that is too long.
    """
    try:
        return _located(Path(name), folders)
    except OSError as error:
        raise InputError("PathBroken", f"{name[:60]!r} is no path of a file ({error.strerror}); mend it") from error


def _located(given: Path, folders: Iterable[Path]) -> Path | None:
    if given.is_absolute() and given.is_file():
        return given
    parts = given.parts[1:] if given.is_absolute() else given.parts
    starts = range(len(parts)) if given.is_absolute() else (0, max(len(parts) - 1, 0))
    for folder in folders:
        for start in starts:
            candidate = folder.joinpath(*parts[start:])
            if candidate.is_file():
                return _tidy(candidate)
    return None


def expected(name: str, *, folders: Sequence[Path]) -> Path:
    """Where a file should be that may be missing: where it is, else below the first folder."""
    return locate(name, folders=folders) or _tidy(folders[0] / name)


def _tidy(path: Path) -> Path:
    """Without ``..`` where that names the same file."""
    tidy = Path(os.path.normpath(path))
    return path if path.exists() and not tidy.exists() else tidy


def relative_name(path: Path, root: Path) -> str:
    """How a file is named from a folder, with forward slashes."""
    return Path(os.path.relpath(path.absolute(), root.absolute())).as_posix()


def short_names(paths: Sequence[Path]) -> list[str]:
    """Names of files, after that of their folder where several have the same."""
    counts = Counter(path.name for path in paths)
    return [path.name if counts[path.name] == 1 else f"{path.parent.name}/{path.name}" for path in paths]


def image_fields(image: LabelledImage) -> Fields:
    """All that is known of an image besides its path, shape and objects, by the names that every format uses."""
    fields = dict(image.attributes)
    if image.sky_group != _text(fields.get(SKY_GROUP)):
        fields[SKY_GROUP] = image.sky_group
    if image.place is not None:
        fields[SKY_PLACE] = {"ra": image.place.ra, "dec": image.place.dec, "radius": image.place.radius}
    return fields


def image_extras(fields: Fields, *, used: Iterable[str]) -> dict[str, Any]:
    """The inverse of `image_fields`: arguments ``sky_group``, ``place`` and ``attributes`` of a `LabelledImage`.

    Parameters
    ----------
    fields
        An image as a format says it.
    used
        Fields that the format itself knows; they are left out.
    """
    place = _sky_place(fields.get(SKY_PLACE))
    left_out = {*used, *([SKY_PLACE] if place is not None else [])}
    group = _text(fields.get(SKY_GROUP))
    if fields.get(SKY_GROUP) == group:
        left_out.add(SKY_GROUP)
    return {
        "sky_group": group,
        "place": place,
        "attributes": {name: value for name, value in fields.items() if name not in left_out},
    }


def _sky_place(said: Any) -> SkyPlace | None:
    """A place on the sky, None for anything else."""
    values = [said.get(key) for key in ("ra", "dec", "radius")] if isinstance(said, dict) else []
    numbers = [float(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)) or abs(numbers[1]) > 90 or numbers[2] < 0:
        return None
    return SkyPlace(*numbers)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def write_whole(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.part")
    try:
        staging.write_text(text, encoding="utf-8", newline="\n")
        return staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
