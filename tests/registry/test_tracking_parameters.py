"""Options as parameters that MLflow takes, judged by its own checks, and the history of those that changed."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.registry.tracking_parameters import (
    batches,
    changed_parameters,
    changes_text,
    flat_parameters,
    safe_key,
    shortened,
)


def test_nested_options_become_dotted_parameters():
    nested = {"fit": {"steps": 10, "clip": None, "widths": [1, 2.5], "on": True}, "name": "x", "empty": {}}
    assert flat_parameters(nested) == {
        "fit.steps": "10", "fit.clip": "null", "fit.widths": "[1, 2.5]", "fit.on": "true", "name": "x", "empty": "{}",
    }  # fmt: skip


@settings(deadline=None)
@given(st.text(max_size=600))
def test_mlflow_takes_every_name(key):
    from mlflow.utils.validation import _validate_metric_name, _validate_param

    safe = safe_key(key)
    _validate_metric_name(safe)
    _validate_param(safe, "")
    assert safe_key(safe) == safe


@settings(deadline=None)
@given(st.text(min_size=101, max_size=300), st.text(min_size=101, max_size=300))
def test_texts_that_are_cut_stay_distinct(first, second):
    assert len(shortened(first, 100)) <= 100
    assert (shortened(first, 100) == shortened(second, 100)) == (first == second)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=6000), max_size=250))
def test_batches_hold_everything_within_the_limits(items):
    parts = list(batches(items))
    assert [pair for part in parts for pair in part.items()] == list(items.items())
    assert all(0 < len(part) <= 100 and len(json.dumps(part)) < 1_000_000 for part in parts)


def test_the_size_of_a_request_is_limited_as_well_as_its_count():
    parts = list(batches({str(number): "\N{SNOWMAN}" * 6000 for number in range(99)}))
    assert len(parts) > 1
    assert all(len(json.dumps(part)) < 1_000_000 for part in parts)


def test_changes_are_kept_over_several_resumptions():
    logged = {"rate": "1", "steps": "10"}
    first = changed_parameters(logged, {"rate": "2", "steps": "10", "new": "x"}, history=None)
    assert first == {"rate": ["1", "2"]}
    second = changed_parameters(logged, {"rate": "1", "steps": "20"}, history=changes_text(first))
    assert second == {"rate": ["1", "2", "1"], "steps": ["10", "20"]}
    assert changed_parameters(logged, {"rate": "1", "steps": "20"}, history=changes_text(second)) == second
    assert changed_parameters(logged, logged, history="edited by hand") == {}


def test_many_long_changes_fit_into_a_tag():
    changes = {f"option{number}": ["a" * 5000, "b" * 5000] for number in range(20)}
    text = changes_text(changes)
    assert len(text) <= 5000
    assert json.loads(text).keys() == changes.keys()
