"""The parts of an IslandRCNN that can leave PyTorch, with their inputs and outputs, and their form as ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim

from neanias_ml.models.config import N_OUTPUTS, WINDOW_STRIDE
from neanias_ml.models.heads import BOX_POOL, MASK_POOL, MASK_SIZE
from neanias_ml.models.rcnn import IslandRCNN

OPSET = 18
"""Version of ONNX's operators: the one to which PyTorch's exporter translates, read by runtimes from 2023 on."""
POOL_LEVEL = "pool"


@dataclass(frozen=True)
class TensorPort:
    """An input or output; names in its shape stand for sizes that are free."""

    name: str
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class NetworkPart:
    """One part of the network.

    Attributes
    ----------
    name
        Name of its file without ``.onnx``.
    module
        Takes and returns tensors in the order of ``inputs`` and ``outputs``, in evaluation mode.
    free_sizes
        For each argument of the module its free sizes by dimension, as PyTorch's exporter takes them.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorPort, ...]
    outputs: tuple[TensorPort, ...]
    free_sizes: tuple[Any, ...]

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.name}.onnx"

    def reference(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What PyTorch makes of some inputs."""
        with torch.inference_mode():
            outputs = self.module(*inputs)
        return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


class BackboneMaps(nn.Module):
    """The pyramid as a tuple, finest map first."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps of images (B, C, H, W)."""
        return tuple(self.backbone(images).values())


class RPNLevels(nn.Module):
    """The RPN's head over all maps: objectness of each, then deltas of each."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Objectness and deltas of maps (B, C, h, w)."""
        objectness, deltas = self.head(list(maps))
        return (*objectness, *deltas)


class RegionOutputTuple(nn.Module):
    """The region head with a plain tuple of outputs."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, pooled: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """Outputs of (R, C, 7, 7) pooled features and (R, 4) boxes."""
        return tuple(self.head(pooled, boxes))


def network_parts(model: IslandRCNN) -> list[NetworkPart]:
    """Backbone, region head, mask head, and the RPN's head where there is one."""
    parts = [_backbone(model), _region_head(model), _mask_head(model)]
    return parts if model.rpn is None else [*parts, _rpn_head(model, model.rpn.head)]


def pyramid_ports(model: IslandRCNN) -> tuple[TensorPort, ...]:
    """The five maps between the parts."""
    strides = [*model.strides, 2 * model.strides[-1]]
    names = [*(f"level_{index}" for index in range(len(model.strides))), POOL_LEVEL]
    uses = [*["regions are pooled from it"] * len(model.strides), "for the RPN alone"]
    return tuple(
        TensorPort(
            name,
            ("batch", model.config.fpn_channels, f"height/{stride}", f"width/{stride}"),
            f"map of the pyramid with a stride of {stride} pixels; {use}",
        )
        for name, stride, use in zip(names, strides, uses, strict=True)
    )


def _backbone(model: IslandRCNN) -> NetworkPart:
    images = TensorPort(
        "images",
        ("batch", model.config.in_channels, "height", "width"),
        f"channels of windows; height and width are multiples of {WINDOW_STRIDE}",
    )
    sizes = {0: Dim("batch"), 2: WINDOW_STRIDE * Dim("rows", min=1), 3: WINDOW_STRIDE * Dim("columns", min=1)}
    return NetworkPart("backbone", BackboneMaps(model.backbone).eval(), (images,), pyramid_ports(model), (sizes,))


def _region_head(model: IslandRCNN) -> NetworkPart:
    inputs = (_pooled(model, BOX_POOL), TensorPort("boxes", ("regions", 4), "x0, y0, x1, y1 in pixels of the window"))
    width = model.config.head_features
    outputs = (
        TensorPort("class_logits", ("regions", N_OUTPUTS), "background, then the classes; softmax after temperature"),
        TensorPort("deltas", ("regions", 4), "encoded change of the box, one for all classes"),
        TensorPort("artefact_logits", ("regions",), "sigmoid after temperature gives P(spurious)"),
        TensorPort("embedding", ("regions", width), "features from which the others are read"),
    )
    regions = {0: Dim("regions")}
    return NetworkPart("region_head", RegionOutputTuple(model.region_head).eval(), inputs, outputs, (regions, regions))


def _mask_head(model: IslandRCNN) -> NetworkPart:
    output = TensorPort(
        "mask_logits", ("regions", MASK_SIZE, MASK_SIZE), "on the grid of the refined box; sigmoid gives probabilities"
    )
    inputs = (_pooled(model, MASK_POOL),)
    return NetworkPart("mask_head", model.mask_head.eval(), inputs, (output,), ({0: Dim("regions")},))


def _rpn_head(model: IslandRCNN, head: nn.Module) -> NetworkPart:
    ports = pyramid_ports(model)
    per_place = len(model.config.anchor_ratios)
    objectness = [
        TensorPort(f"objectness_{p.name}", ("batch", per_place, *p.shape[2:]), f"logits, one per anchor, on {p.name}")
        for p in ports
    ]
    deltas = [
        TensorPort(
            f"deltas_{p.name}",
            ("batch", 4 * per_place, *p.shape[2:]),
            f"encoded boxes on {p.name}; channel 4 a + k is value k of anchor a",
        )
        for p in ports
    ]
    batch = Dim("batch")
    sizes = tuple({0: batch, 2: Dim(f"rows_{p.name}"), 3: Dim(f"columns_{p.name}")} for p in ports)
    return NetworkPart("rpn_head", RPNLevels(head).eval(), ports, (*objectness, *deltas), (sizes,))


def _pooled(model: IslandRCNN, size: int) -> TensorPort:
    return TensorPort("pooled", ("regions", model.config.fpn_channels, size, size), "RoIAlign of the regions")


def to_onnx(part: NetworkPart, example: Sequence[Tensor]) -> Any:
    """An ``onnx.ModelProto`` of a part, weights inside.

    PyTorch's exporter on top of ``torch.export`` is used: it keeps the free sizes exactly, and the older one, which
    records one run, has been given up upstream.

    Parameters
    ----------
    example
        Inputs with sizes of at least two where they are free.
    """
    with _silence():
        program = torch.onnx.export(
            part.module,
            tuple(example),
            input_names=[port.name for port in part.inputs],
            output_names=[port.name for port in part.outputs],
            dynamic_shapes=part.free_sizes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    proto = cast(Any, program).model_proto
    _strip(proto)
    _name_sizes(proto.graph.input, part.inputs)
    _name_sizes(proto.graph.output, part.outputs)
    return proto


def _strip(proto: Any) -> None:
    """Leave out notes of the exporter: they tell nothing but the places of source files on this machine."""
    graph = proto.graph
    del graph.value_info[:]
    for holder in (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del holder.metadata_props[:]
        holder.ClearField("doc_string")


def _name_sizes(values: Any, ports: Sequence[TensorPort]) -> None:
    for value, port in zip(values, ports, strict=True):
        for dimension, size in zip(value.type.tensor_type.shape.dim, port.shape, strict=True):
            if isinstance(size, str):
                dimension.dim_param = size


@contextmanager
def _silence() -> Iterator[None]:
    """Without the exporter's remarks on names that it does not need."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
