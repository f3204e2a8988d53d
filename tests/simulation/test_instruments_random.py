"""Random instruments: valid, varied, repeatable, and faultless on request."""

from __future__ import annotations

import numpy as np
import pytest

from neanias_ml.errors import UsageError
from neanias_ml.simulation import random_config, simulate_sky
from neanias_ml.simulation.imaging.config import LAYOUTS, MOSAICS, ImagingConfig
from neanias_ml.simulation.imaging.random_imaging import random_imaging


def drawn(seed, severity=1.0):
    return random_imaging(np.random.default_rng(seed), severity=severity, maximum_snr=1000.0)


def test_thousands_of_draws_are_valid_varied_and_repeatable():
    draws = [drawn(seed) for seed in range(1000)]
    assert draws[7] == drawn(7)
    assert len(set(draws)) == 1000
    assert {draw.layout for draw in draws} == set(LAYOUTS)
    assert {draw.mosaic for draw in draws} == set(MOSAICS)
    for name in ("bad_baselines", "ghost_fraction", "alias_fraction", "rfi_stripes", "blank_holes", "blank_edge"):
        present = np.mean([getattr(draw, name) > 0 for draw in draws])
        assert 0.05 < present < 0.5, name


def test_without_severity_there_are_no_faults():
    for seed in range(50):
        draw = drawn(seed, severity=0.0)
        faults = (
            draw.clean_depth, draw.extended_clean_depth, draw.gain_amplitude_error, draw.gain_phase_error,
            draw.pointing_error, draw.bad_baselines, draw.ghost_fraction, draw.alias_fraction, draw.rfi_stripes,
        )  # fmt: skip
        assert not any(faults)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5])
def test_random_fields_are_whole_and_repeatable(seed):
    config = random_config(np.random.default_rng(seed), size=128)
    one, two = simulate_sky(config, seed=seed), simulate_sky(config, seed=seed)
    assert np.array_equal(one.radio_map.data, two.radio_map.data, equal_nan=True)
    assert np.isfinite(one.radio_map.data).mean() > 0.2
    assert np.isfinite(one.artefact).all() and (one.rms > 0).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mosaic": "circle"}, "'circle' is not one of none"),
        ({"primary_beam": 0.0}, "primary_beam must lie in"),
        ({"pointing_error": float("inf")}, "pointing_error must lie in"),
        ({"mosaic_cutoff": 1.0}, "mosaic_cutoff must lie in"),
        ({"gain_sharing": 1.5}, "gain_sharing must lie in"),
    ],
)
def test_bad_instruments_name_what_is_wrong(changes, words):
    with pytest.raises(UsageError, match=words):
        ImagingConfig(**changes)
