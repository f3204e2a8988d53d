"""Comparison of exported parts with PyTorch, on noise and on windows like those of maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neanias_ml.datasets.channels import channels_from_significance
from neanias_ml.models.bundle import ModelBundle
from neanias_ml.models.config import WINDOW_STRIDE
from neanias_ml.models.heads import BOX_POOL, MASK_POOL
from neanias_ml.models.onnx_parts import NetworkPart
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.regions import pool_regions

TOLERANCE = 1e-4
"""Largest difference allowed, in units of the largest value of an output (at least 1): float32 adds up to 1e-6."""
TRIALS = (("noise", 2, (64, 96)), ("a simulated field", 1, (160, 128)))
"""Kind of the images, their number, and their rows and columns."""
N_REGIONS = 24


@dataclass(frozen=True)
class Difference:
    """Largest difference of a part's outputs to those of PyTorch.

    Attributes
    ----------
    absolute
        As it is.
    relative
        Divided by the largest value of the output, or by 1 if that is larger.
    """

    absolute: float
    relative: float


@dataclass(frozen=True)
class Trial:
    """Inputs of every part by its name, made by PyTorch from some images."""

    description: str
    inputs: dict[str, list[Tensor]]


def example_inputs(model: IslandRCNN) -> dict[str, list[Tensor]]:
    """Inputs for the exporter: sizes that differ, so that none is taken for another."""
    images = torch.zeros((2, model.config.in_channels, 2 * WINDOW_STRIDE, 3 * WINDOW_STRIDE))
    return _part_inputs(model, images, _boxes((2 * WINDOW_STRIDE, 3 * WINDOW_STRIDE), 5))


def check_inputs(bundle: ModelBundle) -> list[Trial]:
    """Two sets of inputs of different size and number; always the same."""
    trials = []
    for kind, number, shape in TRIALS:
        images = _noise(number, bundle.model.config.in_channels, shape)
        if kind != "noise":
            images = torch.stack([_field(index, shape, bundle.settings.pixels_per_beam) for index in range(number)])
        description = f"{number} x {shape[0]} x {shape[1]} pixels of {kind}, {N_REGIONS} regions"
        trials.append(Trial(description, _part_inputs(bundle.model, images, _boxes(shape, N_REGIONS))))
    return trials


def compare(part: NetworkPart, path: Path, trials: Sequence[Sequence[Tensor]]) -> Difference:
    """Run a file by onnxruntime on the CPU and compare it with the part in PyTorch; NaN where one of them is."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # left alone it would bind threads to cores it may not use
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    absolute, relative = [0.0], [0.0]
    for inputs in trials:
        fed = {port.name: tensor.numpy() for port, tensor in zip(part.inputs, inputs, strict=True)}
        outputs = session.run([port.name for port in part.outputs], fed)
        for found, expected in zip(outputs, part.reference(inputs), strict=True):
            if found.shape != tuple(expected.shape):
                return Difference(float("nan"), float("nan"))
            largest = float(np.abs(found - expected.numpy()).max())
            absolute.append(largest)
            relative.append(largest / max(1.0, float(expected.abs().max())))
    return Difference(float(np.max(absolute)), float(np.max(relative)))


def _part_inputs(model: IslandRCNN, images: Tensor, boxes: Tensor) -> dict[str, list[Tensor]]:
    """Inputs of every part: images, then what the parts before make of them."""
    with torch.inference_mode():
        maps = [level.contiguous() for level in model.backbone(images).values()]
        rows = torch.arange(len(boxes)) % len(images)
        regions = torch.cat([rows[:, None].to(boxes.dtype), boxes], dim=1)
        pooled = {
            size: pool_regions(
                maps[: len(model.strides)],
                regions,
                strides=model.strides,
                size=size,
                coarsest_size=model.config.region_level_size,
            )
            for size in (BOX_POOL, MASK_POOL)
        }
    inputs = {
        "backbone": [images],
        "region_head": [pooled[BOX_POOL], boxes],
        "mask_head": [pooled[MASK_POOL]],
        "rpn_head": maps,
    }
    # tensors of inference mode cannot be traced
    return {name: [tensor.clone() for tensor in tensors] for name, tensors in inputs.items()}


def _noise(number: int, channels: int, shape: tuple[int, int]) -> Tensor:
    return torch.randn((number, channels, *shape), generator=torch.Generator().manual_seed(1))


def _field(seed: int, shape: tuple[int, int], pixels_per_beam: float) -> Tensor:
    """Channels of sources from faint to very bright in noise, with a blank corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    snr = rng.standard_normal(shape).astype(np.float32)
    for peak, width in zip((6.0, 30.0, 200.0, 1000.0), (1.0, 3.0, 1.0, 2.0), strict=True):
        centre = rng.uniform(0, 1, size=2) * shape
        distance = np.hypot(y - centre[0], x - centre[1]) / (width * pixels_per_beam / 2)
        snr += (peak * np.exp2(-(distance**2))).astype(np.float32)
    snr[: shape[0] // 8, : shape[1] // 8] = np.nan
    return torch.from_numpy(channels_from_significance(snr, snr > 5, beam_fwhm_pixels=pixels_per_beam))


def _boxes(shape: tuple[int, int], number: int) -> Tensor:
    """Boxes (number, 4) from a few pixels to the whole window: every map of the pyramid has its share."""
    rng = np.random.default_rng(number)
    sides = np.stack([np.geomspace(3, size, number) for size in shape[::-1]], axis=1)
    low = rng.uniform(0, 1, size=(number, 2)) * (np.array(shape[::-1]) - sides)
    return torch.from_numpy(np.concatenate([low, low + sides], axis=1).astype(np.float32))
