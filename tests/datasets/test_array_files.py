"""Files of prepared data: damage is told, unfinished ones are in nobody's way, and stores are sequences."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from neanias_ml.datasets.array_files import ArrayFile, ArrayFormat, FileStore
from neanias_ml.errors import InputError

NUMBERS = ArrayFormat(
    name="numbers 1", note="numbers", suffix=".numbers", arrays=("x",), texts=("names", "places"),
    title="file of numbers", content="numbers", damaged="NumbersDamaged", missing="NoNumbers",
)  # fmt: skip


class NumberFile:
    """The rows of one file."""

    def __init__(self, path):
        self._file = ArrayFile(path, NUMBERS)
        self.names = self._file.texts["names"]

    def __len__(self):
        return len(self.names)

    def __getitem__(self, row):
        return float(self._file.mapped["x"][row])


class NumberStore(FileStore):
    """Numbers with their names."""

    columns = ("names",)

    @staticmethod
    def open_file(path):
        return NumberFile(path)


def write_numbers(path, names):
    texts = {"names": list(names), "places": ["here"]}
    NUMBERS.write(path, {"x": np.array([len(name) for name in names], dtype=np.float32)}, texts)


def test_what_a_killed_writer_left_is_replaced_whatever_its_permissions(tmp_path):
    left = tmp_path / ".a.numbers.part"
    left.write_text("half")
    left.chmod(0o400)
    write_numbers(tmp_path / "a.numbers", ["one"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.numbers"]
    assert load_file(tmp_path / "a.numbers")["x"].tolist() == [3.0]
    mine = tmp_path / "any"
    mine.touch()
    assert (tmp_path / "a.numbers").stat().st_mode == mine.stat().st_mode


def test_a_store_knows_its_columns_and_gives_any_rows(tmp_path):
    write_numbers(tmp_path / "b.numbers", ["four", "fivefive"])
    write_numbers(tmp_path / "a.numbers", ["o", "tw", "thr"])
    (tmp_path / ".c.numbers").write_text("hidden")
    store = NumberStore(NUMBERS.paths(tmp_path))
    assert list(store) == [1, 2, 3, 4, 8] and store.names == ["o", "tw", "thr", "four", "fivefive"]
    part = store.rows([4, 1, 1])
    assert list(part) == [8, 2, 2] and part.names == ["fivefive", "tw", "tw"]
    assert list(part.rows([1])) == [2] and list(store.every(2)) == [1, 3, 8] and len(store) == 5


def test_texts_and_arrays_are_both_vouched_for(tmp_path):
    path = tmp_path / "a.numbers"
    write_numbers(path, ["one", "three"])
    assert ArrayFile(path, NUMBERS).verified()["x"].tolist() == [3.0, 5.0]
    content = path.read_bytes()
    for changed in (content.replace(b"one", b"two"), content.replace(b"here", b"over"), content[:-1] + b"\x7f"):
        assert changed != content
        path.write_bytes(changed)
        with pytest.raises(InputError, match="is not a readable file of numbers") as caught:
            ArrayFile(path, NUMBERS).verified()
        assert caught.value.code == "NumbersDamaged"
    path.unlink()
    with pytest.raises(InputError, match=r"holds no numbers \(\*.numbers\)") as caught:
        NUMBERS.paths(tmp_path)
    assert caught.value.code == "NoNumbers"
