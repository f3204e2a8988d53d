"""Errors carry their code and sentence, also from one process to another."""

import pickle

import pytest

from neanias_ml.errors import InputError, ModelError, NeaniasError, ResourceError, UsageError


@pytest.mark.parametrize("kind", [NeaniasError, UsageError, InputError, ResourceError, ModelError])
def test_an_error_of_a_worker_comes_back_whole(kind):
    error = pickle.loads(pickle.dumps(kind("Code", "what is wrong; what to do")))
    assert type(error) is kind and (error.code, error.message) == ("Code", "what is wrong; what to do")
    assert str(error) == "what is wrong; what to do" and error.qualified_code == f"{kind.family}:Code"
