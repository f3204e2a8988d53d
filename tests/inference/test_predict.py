"""One window of the network: what it is fed, and what becomes of too little memory."""

import dataclasses

import numpy as np
import pytest
import torch

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.resampling import ResampledGrid, window_channels
from neanias_ml.errors import ResourceError
from neanias_ml.extraction import SourceFinder
from neanias_ml.inference.predict import predict_window, proposals_in_window
from neanias_ml.inference.windows import plan_windows
from neanias_ml.models.bundle import ModelBundle
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.settings import BundleSettings
from tests.conftest import make_sky


def make_bundle(channels=CHANNEL_NAMES, **changes):
    """A small network with seeded random weights."""
    torch.manual_seed(5)
    architecture = IslandRCNNConfig(
        in_channels=len(channels), blocks=(1, 1, 1, 1), fpn_channels=16, head_features=16, mask_channels=8,
        rpn_proposals=10, **changes,
    )  # fmt: skip
    settings = BundleSettings(
        architecture=architecture, pixels_per_beam=architecture.box_reference, channels=channels, window_size=128
    )
    return ModelBundle(model=IslandRCNN(architecture).eval(), settings=settings, digest="0" * 64)


@pytest.fixture(scope="module")
def crowded():
    """An extraction, its grid and the window with most islands."""
    radio_map, _ = make_sky(41, shape=(200, 200), n_sources=16)
    extraction = SourceFinder()(radio_map)
    grid = ResampledGrid.of(radio_map)
    windows = plan_windows(extraction.islands.table, grid, window_size=128)
    return extraction, grid, max(windows, key=lambda planned: len(planned.visible))


def out_of_memory(times, monkeypatch):
    """Let the network fail so many times as a GPU without memory does; returns the calls."""
    calls, original = [], IslandRCNN.forward

    def forward(self, *words):
        calls.append(self)
        if len(calls) <= times:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, *words)

    monkeypatch.setattr(IslandRCNN, "forward", forward)
    return calls


def test_a_window_without_memory_is_run_on_the_cpu_with_the_same_result(crowded, monkeypatch):
    bundle = make_bundle()
    expected = predict_window(*crowded, bundle=bundle)
    calls = out_of_memory(1, monkeypatch)
    found = predict_window(*crowded, bundle=bundle)
    assert not expected.on_cpu and found.on_cpu
    assert len(calls) == 2 and calls[0] is bundle.model and calls[1] is not bundle.model
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert [one.rows for one in found.instances] == [one.rows for one in expected.instances]


def test_a_window_that_fits_nowhere_is_named(crowded, monkeypatch):
    out_of_memory(2, monkeypatch)
    with pytest.raises(ResourceError, match=r"window of 128 x 128 pixels with [0-9]+ regions") as caught:
        predict_window(*crowded, bundle=make_bundle())
    assert caught.value.code == "OutOfMemory"


def test_a_network_of_some_channels_is_fed_those_in_its_order(crowded, monkeypatch):
    extraction, grid, planned = crowded
    seen, original = [], IslandRCNN.forward

    def watched(self, images, *words):
        seen.append(images[0].numpy().copy())
        return original(self, images, *words)

    monkeypatch.setattr(IslandRCNN, "forward", watched)
    predict_window(*crowded, bundle=make_bundle(("valid", "snr")))
    everything = window_channels(extraction, grid, window=planned.window)
    np.testing.assert_array_equal(seen[0], everything[[4, 0]])


def test_the_bundle_says_how_many_unions_are_proposed_and_the_rest_is_counted(crowded):
    extraction, grid, planned = crowded
    number = len(planned.visible)
    counts = {}
    for per_tile in (0, 1, 1000):
        settings = make_bundle(unions_per_tile=per_tile).settings
        proposals = proposals_in_window(extraction, grid, planned, settings=settings)
        counts[per_tile] = (len(proposals) - 2 * number, proposals.n_unions_left_out)
    assert counts[0] == (0, 0) and counts[1000][1] == 0
    assert counts[1] == (2 * number, counts[1000][0] - 2 * number)
    result = predict_window(*crowded, bundle=make_bundle(unions_per_tile=1))
    assert result.n_unions_left_out == counts[1][1] > 0


def test_other_samplings_reach_the_proposals(crowded):
    """Half the pixels per beam: the same islands, boxes of half the size and at least a beam wide."""
    extraction, _, _ = crowded
    sides = {}
    for sampling in (6.0, 3.0):
        bundle = make_bundle(box_reference=sampling)
        grid = ResampledGrid.of(extraction.radio_map, pixels_per_beam=sampling)
        (planned, *_) = plan_windows(extraction.islands.table, grid, window_size=512)
        boxes = proposals_in_window(extraction, grid, planned, settings=bundle.settings).boxes[: len(planned.visible)]
        assert len(boxes) == len(extraction.islands)
        inside = (boxes[:, :2] > 0).all(axis=1)
        sides[sampling] = (boxes[:, 2:] - boxes[:, :2])[inside]
        assert predict_window(extraction, grid, planned, bundle=bundle).probabilities.shape == (len(planned.owned), 6)
    assert np.median(sides[3.0]) == pytest.approx(np.median(sides[6.0]) / 2, rel=0.1)


def test_a_window_of_blanks_alone_is_no_trouble(crowded):
    extraction, grid, planned = crowded
    beyond = dataclasses.replace(
        planned,
        window=dataclasses.replace(planned.window, y0=4096, y1=4096 + 128),
        owned=np.empty(0, np.int64),
        visible=np.empty(0, np.int64),
    )
    result = predict_window(extraction, grid, beyond, bundle=make_bundle())
    assert result.instances == [] and result.probabilities.shape == (0, 6)
