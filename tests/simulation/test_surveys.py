"""Fields of surveys: what is fixed, what is drawn, and what is refused."""

import math

import numpy as np
import pytest

from neanias_ml.errors import UsageError
from neanias_ml.simulation import SURVEYS, simulate_sky, survey_config
from neanias_ml.simulation.sources.counts import density_above


@pytest.mark.parametrize("name", SURVEYS)
def test_fields_are_those_of_the_survey(name):
    survey = SURVEYS[name]
    for seed in range(10):
        config = survey_config(name, np.random.default_rng(seed), size=128)
        assert (config.frequency, config.pixel_scale, config.size) == (survey.frequency, survey.pixel_scale, 128)
        assert config.imaging.layout == survey.layout
        assert survey.beam_minor[0] <= config.beam_minor <= survey.beam_minor[1]
        assert survey.rms[0] <= config.rms <= survey.rms[1]
        assert config.population.counts == "published"
        assert (config.population.nebula_density > 0) == survey.galactic
    assert config == survey_config(name, np.random.default_rng(9), size=128)
    assert config != survey_config(name, np.random.default_rng(8), size=128)


@pytest.mark.parametrize(("name", "size"), [("first", 600), ("emu", 300), ("lotss", 400)])
def test_fields_hold_as_many_sources_as_the_counts_say(name, size):
    found, expected = 0, 0.0
    for seed in range(4):
        config = survey_config(name, np.random.default_rng(seed), size=size)
        sky = simulate_sky(config, seed=seed)
        area = (size * config.pixel_scale / 3600.0) ** 2
        expected += area * density_above(5.0 * config.rms, frequency=config.frequency)
        objects = sky.truth.objects
        found += int((objects.visible & (objects.kind != "artefact")).sum())
    assert abs(found - expected) < 0.35 * expected + 3 * math.sqrt(expected)


def test_an_unknown_survey_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'wallaby' is not one of emu, .*vlass"):
        survey_config("wallaby", np.random.default_rng(0), size=128)
