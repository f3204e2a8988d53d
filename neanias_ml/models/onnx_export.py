"""`export_onnx`: the network of a bundle as ONNX files, compared with PyTorch before anything is left.

A detector is not one graph: between its networks lie steps whose work depends on the data (pooling, suppression).
They stay outside, and ``export.json`` says how each is done.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import neanias_ml
from neanias_ml.errors import ModelError, UsageError
from neanias_ml.maps import file_digest
from neanias_ml.models.bundle import ModelBundle, load_bundle
from neanias_ml.models.onnx_check import TOLERANCE, Difference, Trial, check_inputs, compare, example_inputs
from neanias_ml.models.onnx_outside import outside_steps
from neanias_ml.models.onnx_parts import OPSET, NetworkPart, network_parts, to_onnx
from neanias_ml.output_files import replaced_together, require_room

FORMAT_NAME = "neanias_ml onnx export"
FORMAT_VERSION = 1
REPORT_FILE = "export.json"
PART_FILES = ("backbone.onnx", "region_head.onnx", "mask_head.onnx", "rpn_head.onnx")
REQUIRED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes
    ----------
    folder
        Where the files are.
    bundle_digest
        Digest of the bundle.
    sizes
        Bytes of each ONNX file by name.
    differences
        Largest difference to PyTorch of each file's outputs.
    """

    folder: Path
    bundle_digest: str
    sizes: Mapping[str, int]
    differences: Mapping[str, Difference]

    def lines(self) -> list[str]:
        """The report for a person."""
        width = max(map(len, self.sizes))
        files = [
            f"  {name:<{width}}  {size / 1e6:6.1f} MB  differs from PyTorch by {self.differences[name].relative:.1e}"
            for name, size in self.sizes.items()
        ]
        return [
            f"exported the model {self.bundle_digest[:16]} to {self.folder} (ONNX opset {OPSET})",
            *files,
            f"differences in units of the largest value of an output, {TOLERANCE:g} allowed; "
            f"{REPORT_FILE} describes the steps between the parts",
        ]


def export_onnx(bundle_folder: Path | str, output_folder: Path | str, *, overwrite: bool = False) -> ExportReport:
    """Write the parts of a detector as ONNX files with ``export.json``, all or nothing.

    Parameters
    ----------
    bundle_folder
        Folder of a model bundle.
    output_folder
        Gets ``backbone.onnx``, ``region_head.onnx``, ``mask_head.onnx``, ``rpn_head.onnx`` where the bundle has an
        RPN, and ``export.json``. Weights are inside the ONNX files.
    overwrite
        Replace an earlier export.

    Raises
    ------
    UsageError
        ``ExportMissing`` without the packages of the extra ``export``, ``OutputExists`` and the like from
        `neanias_ml.output_files.require_room`.
    ModelError
        ``ExportDiffers`` if onnxruntime does not compute what PyTorch does; as `load_bundle`.
    """
    _require_packages()
    names, folder = [*PART_FILES, REPORT_FILE], Path(output_folder)
    bundle = load_bundle(bundle_folder)
    require_room(folder, names=names, overwrite=overwrite)
    parts, trials = network_parts(bundle.model), check_inputs(bundle)
    with replaced_together(folder, names=names) as staging:
        differences = _write_parts(parts, trials, bundle, staging)
        document = _document(bundle, parts, staging) | {"check": _check(trials, differences)}
        (staging / REPORT_FILE).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        sizes = {part.file_name: (staging / part.file_name).stat().st_size for part in parts}
    return ExportReport(folder, bundle.digest, sizes, differences)


def _require_packages() -> None:
    for name in REQUIRED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(
                "ExportMissing",
                f"export to ONNX needs {', '.join(REQUIRED)}, and {name} cannot be imported; "
                "pip install neanias_ml[export]",
            ) from error


def _write_parts(
    parts: list[NetworkPart], trials: list[Trial], bundle: ModelBundle, folder: Path
) -> dict[str, Difference]:
    """Write and compare every part; the differences by file name."""
    import onnx

    examples = example_inputs(bundle.model)
    differences = {}
    for part in parts:
        proto = to_onnx(part, examples[part.name])
        onnx.helper.set_model_props(proto, {"part": part.name, "bundle_digest": bundle.digest})
        onnx.checker.check_model(proto)
        onnx.save_model(proto, folder / part.file_name)
        difference = compare(part, folder / part.file_name, [trial.inputs[part.name] for trial in trials])
        if not difference.relative <= TOLERANCE:  # also where it is not a number
            raise ModelError(
                "ExportDiffers",
                f"{part.file_name} does not compute what PyTorch does: it differs by {difference.relative:.1e} of the "
                f"largest value, {TOLERANCE:g} is allowed; nothing was written. Use another version of torch or "
                f"onnxscript ({_versions_text()})",
            )
        differences[part.file_name] = difference
    return differences


def _document(bundle: ModelBundle, parts: list[NetworkPart], folder: Path) -> dict[str, Any]:
    """Content of ``export.json`` but for the comparison."""
    settings = bundle.settings
    return {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "bundle": {"digest": bundle.digest, "name": settings.metadata.get("name")},
        "versions": _versions(),
        "opset": OPSET,
        "dtype": "float32",
        "outputs": ["background", *settings.classes],
        "parts": {
            part.name: {
                "file": part.file_name,
                "sha256": file_digest(folder / part.file_name),
                "inputs": [asdict(port) for port in part.inputs],
                "outputs": [asdict(port) for port in part.outputs],
            }
            for part in parts
        },
        "outside": outside_steps(bundle.model, settings),
    }


def _check(trials: list[Trial], differences: Mapping[str, Difference]) -> dict[str, Any]:
    return {
        "rule": "largest absolute difference between onnxruntime and PyTorch on the CPU, and the same divided by the "
        "largest value of that output (or 1, if that is larger), over all outputs and inputs",
        "tolerance": TOLERANCE,
        "inputs": [trial.description for trial in trials],
        "differences": {name: asdict(difference) for name, difference in differences.items()},
    }


def _versions() -> dict[str, str]:
    modules = [importlib.import_module(name) for name in REQUIRED]
    versions = {module.__name__: str(module.__version__) for module in modules}
    return {"neanias_ml": neanias_ml.__version__, "torch": str(torch.__version__), **versions}


def _versions_text() -> str:
    return ", ".join(f"{name} {version}" for name, version in _versions().items())
