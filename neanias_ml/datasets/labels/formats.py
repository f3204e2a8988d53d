"""Any format of labels by its name or by the look of its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from neanias_ml.datasets.labels.caesar_sidecar import list_names, read_caesar
from neanias_ml.datasets.labels.caesar_writing import JSON_LIST, ROW_LIST, write_caesar
from neanias_ml.datasets.labels.coco import read_coco, write_coco
from neanias_ml.datasets.labels.ds9_labels import SUFFIX, read_ds9, write_ds9
from neanias_ml.datasets.labels.files import Report, read_json, refuse
from neanias_ml.datasets.labels.labelled import LabelSet
from neanias_ml.datasets.labels.simulated import MANIFEST, read_simulated
from neanias_ml.errors import InputError, UsageError
from neanias_ml.output_files import require_room

SourceFormat = Literal["coco", "caesar", "ds9", "simulated"]
TargetFormat = Literal["coco", "caesar", "ds9"]
MASKS_FILE = "masks.json"
"""Masks (COCO) in the folder of a run of `detect`."""


@dataclass(frozen=True)
class WrittenLabels:
    """What a conversion wrote.

    Attributes
    ----------
    files
        File or folder, and what is in it.
    losses
        What the new files do not say.
    notes
        What programs of that format take otherwise than it is meant.
    """

    files: tuple[str, ...]
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def source_format(path: Path | str) -> SourceFormat:
    """The format of a file or folder of labels, by its names and, for JSON, by its content.

    Raises
    ------
    InputError
        ``LabelsMissing`` if there is nothing, ``FormatUnknown`` if it looks like no labels, ``JsonBroken``.
    """
    path = Path(path)
    if path.is_dir():
        return _folder_format(path)
    if not path.is_file():
        raise InputError("LabelsMissing", f"there is no label file or folder {path}")
    if path.suffix.lower() == SUFFIX:
        return "ds9"
    if path.suffix.lower() == ".json":
        document = read_json(path)
        if isinstance(document, dict) and "img" in document:
            return "caesar"
        if isinstance(document, dict) and ("annotations" in document or "images" in document):
            return "coco"
        raise InputError(
            "FormatUnknown",
            f"{path} is JSON, but neither COCO (images, annotations) nor a sidecar of CAESAR (img, objs)",
        )
    if path.suffix.lower() in (".csv", ".txt", ".list", ".dat"):
        return "caesar"
    raise InputError(
        "FormatUnknown", f"{path} looks like no label file (.json, .reg, .csv, .txt); say --from coco, caesar or ds9"
    )


def _folder_format(path: Path) -> SourceFormat:
    if (path / MANIFEST).is_file() or any(path.glob(f"*/{MANIFEST}")):
        return "simulated"
    if (path / MASKS_FILE).is_file():
        return "coco"
    if (path / JSON_LIST).is_file():
        return "caesar"
    if any(path.glob(f"*{SUFFIX}")):
        return "ds9"
    names = list_names(path)
    if names:
        return source_format(names[0])
    raise InputError(
        "FormatUnknown",
        f"the folder {path} holds no labels: no *.json, no *{SUFFIX} and no simulated field ({MANIFEST})",
    )


def target_format(path: Path | str) -> TargetFormat:
    """The format that a name asks for: ``.json`` COCO, ``.reg`` DS9.

    Raises
    ------
    UsageError
        ``FormatUnknown`` for other names, folders among them.
    """
    found = {".json": "coco", SUFFIX: "ds9"}.get(Path(path).suffix.lower())
    if found is None:
        raise UsageError("FormatUnknown", f"say what {path} is to be: --to coco, --to caesar or --to ds9")
    return cast(TargetFormat, found)


def read_labels(
    path: Path | str,
    *,
    form: SourceFormat | None = None,
    image_root: Path | str | None = None,
    report: Report = refuse,
) -> LabelSet:
    """Read labels of any format.

    Parameters
    ----------
    path
        File or folder.
    form
        Its format; guessed when omitted (`source_format`).
    image_root
        Folder of the images, where the labels do not find them.
    report
        Told of problems with single images and objects, which are then left out; the default raises.

    Raises
    ------
    InputError
        What the readers say; ``NoObjects`` if there is no labelled object.
    """
    path = Path(path)
    form = form or source_format(path)
    if form == "coco":
        path = _coco_file(path)
        labels = read_coco(path, image_root=image_root, report=report)
    elif form == "caesar":
        listed = path / JSON_LIST if (path / JSON_LIST).is_file() else path
        labels = read_caesar(listed, image_root=image_root, report=report)
    elif form == "ds9":
        labels = read_ds9(path, image_root=image_root, report=report)
    else:
        labels = read_simulated(path, report=report)
    if labels.n_objects == 0:
        report(InputError("NoObjects", f"{path} holds no labelled object in {len(labels)} image(s)"))
    return labels


def _coco_file(path: Path) -> Path:
    """The COCO file of a folder."""
    if not path.is_dir():
        return path
    files = [path / MASKS_FILE] if (path / MASKS_FILE).is_file() else list_names(path)
    if len(files) != 1:
        raise InputError("FormatUnknown", f"{path} holds {len(files)} JSON files; name the one of the labels")
    return files[0]


def write_labels(
    labels: LabelSet,
    path: Path | str,
    *,
    form: TargetFormat | None = None,
    overwrite: bool = False,
    colour: Callable[[str], str] | None = None,
    on_sky: bool = False,
) -> WrittenLabels:
    """Write labels in another format; nothing is left half-written.

    Parameters
    ----------
    path
        A file in ``.json`` (COCO) or ``.reg`` (DS9), or a folder (CAESAR, DS9).
    form
        The format; by the name when omitted (`target_format`).
    overwrite
        Whether earlier files of these names may be replaced.
    colour, on_sky
        Of DS9 regions: see `write_ds9`.

    Raises
    ------
    UsageError
        ``OutputExists``, ``FormatUnknown``, ``OneImagePerFile``.
    ResourceError
        If the folder cannot be written to.
    """
    path = Path(path)
    form = form or target_format(path)
    count = f"{labels.n_objects} object(s) of {len(labels)} image(s)"
    if form == "coco":
        require_room(path.parent, names=(path.name,), overwrite=overwrite)
        write_coco(labels, path)
        return WrittenLabels((f"{path} (COCO, {count})",))
    if form == "caesar":
        if path.suffix.lower() in (".json", ".csv", ".txt"):
            raise UsageError("OutputNotADirectory", f"CAESAR's labels are a folder of files; name one, not {path}")
        notes = write_caesar(labels, path, overwrite=overwrite)
        return WrittenLabels((f"{path} ({JSON_LIST}, {ROW_LIST}, sidecars and masks, {count})",), notes=tuple(notes))
    notes = []
    losses = write_ds9(labels, path, on_sky=on_sky, colour=colour, overwrite=overwrite, note=notes.append)
    return WrittenLabels((f"{path} (DS9 regions, {count})",), losses=tuple(losses), notes=tuple(notes))
