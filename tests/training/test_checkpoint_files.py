"""Checkpoint files: what goes in comes out, damage and pickles are found, a full disk costs nothing."""

import contextlib
import datetime
import errno
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from neanias_ml.errors import ModelError, ResourceError
from neanias_ml.training import checkpoint_files
from neanias_ml.training.checkpoint_files import (
    read_checkpoint,
    read_description,
    verify_checkpoint,
    write_checkpoint,
)


def same(first, second):
    """Equal values of equal types, NaN being equal to NaN and -0 differing from 0."""
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        return (
            (first.dtype, first.shape) == (second.dtype, second.shape)
            and (first.stride() == second.stride() or first.numel() < 2)
            and bytes_of(first) == bytes_of(second)
        )
    if isinstance(first, np.ndarray | np.generic):
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    if isinstance(first, dict):
        return all(map(same, first.items(), second.items())) and len(first) == len(second)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second) if isinstance(first, float | complex) else first == second


def bytes_of(tensor):
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype)
    flat.copy_(tensor.reshape(-1))
    return flat.view(torch.uint8).numpy().tobytes()


def round_trip(value, folder):
    write_checkpoint({"value": value}, folder / "one.safetensors")
    return read_checkpoint(folder / "one.safetensors")["value"]


plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(), st.timedeltas()
)
hashable = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.floats(allow_nan=False)),
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)
numbers = st.builds(
    lambda seed: torch.from_numpy(np.random.default_rng(seed).normal(size=seed % 4)), st.integers(0, 99)
)
values = st.recursive(
    st.one_of(plain, numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
        st.dictionaries(hashable, inner, max_size=4),
    ),
    max_leaves=20,
)


@given(value=values)
@settings(max_examples=60, deadline=None)
def test_any_nested_value_comes_back(value, tmp_path_factory):
    assert same(round_trip(value, tmp_path_factory.mktemp("round")), value)


FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64)
DTYPES = [*FLOATS, *INTEGERS, torch.bool, torch.complex64, torch.complex128]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5,), (2, 3, 4)], ids=str)
def test_tensors_of_every_type_and_shape_come_back(dtype, shape, tmp_path):
    count = int(np.prod(shape))
    tensor = torch.linspace(-3, 3, count).to(dtype).reshape(shape)
    odd = torch.ones(3, dtype=torch.bool)  # three bytes, after which wider numbers would lie askew
    loaded = round_trip([odd, tensor, odd], tmp_path)
    assert same(loaded, [odd, tensor, odd])


def test_strides_of_dense_tensors_are_kept_and_views_are_stored_by_value(tmp_path):
    base = torch.arange(48.0).reshape(2, 3, 4, 2)
    channels_last = base.contiguous(memory_format=torch.channels_last)
    view, spread = base[:, 1:], torch.ones(1).expand(4)
    loaded = round_trip([channels_last, base[0, 0].t(), view, spread], tmp_path)
    assert loaded[0].is_contiguous(memory_format=torch.channels_last)
    assert loaded[1].stride() == (1, 2)
    assert loaded[2].is_contiguous()
    for tensor, original in zip(loaded, [base, base[0, 0].t(), view, spread], strict=True):
        assert torch.equal(tensor, original)


def test_tensors_that_share_memory_are_stored_one_by_one(tmp_path):
    weight = torch.nn.Parameter(torch.randn(4, 4))
    state = {
        "encoder": weight,
        "decoder": weight,
        "row": weight[1],
        "conjugate": torch.randn(3, dtype=torch.cfloat).conj(),
    }
    loaded = round_trip(state, tmp_path)
    loaded["encoder"].zero_()
    assert type(loaded["encoder"]) is torch.Tensor
    assert same(loaded["decoder"], weight.detach())
    assert same(loaded["row"], weight[1].detach())
    assert torch.equal(loaded["conjugate"], state["conjugate"])


def test_special_values_come_back_with_their_types(tmp_path):
    rng = np.random.default_rng(1)
    value = {
        "numpy": [np.float32(0.1), np.int64(-3), np.bool_(True), np.complex64(1j), np.str_("ä"), np.datetime64(3, "s")],
        "arrays": [
            rng.normal(size=(2, 3)),
            np.arange(4, dtype=">i2"),
            np.array(3.0),
            np.empty((0, 2)),
            np.array(["a"]),
        ],
        "torch": [torch.Size([2, 3]), torch.bfloat16, torch.device("cuda", 1), torch.get_rng_state()],
        "python": [
            {1, 2},
            frozenset({"a"}),
            10**30,
            -0.0,
            "\ud800",
            Path("a/b"),
            datetime.timedelta(days=-1, seconds=3),
        ],
        "random": random.Random(3).getstate(),
        ("a", 1): {None: 1, 1.5: 2, True: 3},
        "names": {"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}, "": torch.full((1,), 2.0)},
    }
    assert same(round_trip(value, tmp_path), value)
    assert type(round_trip(OrderedDict(a=1), tmp_path)) is dict
    top = {"__metadata__": torch.ones(2), "": torch.zeros(1)}
    write_checkpoint(top, tmp_path / "top.safetensors")
    assert same(read_checkpoint(tmp_path / "top.safetensors"), top)


def itself():
    value = {}
    value["again"] = value
    return value


class Flag(int):
    pass


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "builtins.object"),
        (len, "builtin_function_or_method"),
        (Flag(3), "Flag"),
        (np.array([{}]), "object"),
        (torch.ones(2).to_sparse(), "sparse"),
        (torch.ones(2, device="meta"), "without data"),
        (itself(), "contains itself"),
    ],
    ids=["object", "function", "enum", "object-array", "sparse", "meta", "cycle"],
)
def test_what_cannot_be_stored_is_named_by_its_place_and_nothing_is_written(value, reason, tmp_path):
    path = tmp_path / "last.safetensors"
    with pytest.raises(ModelError, match=reason) as caught:
        write_checkpoint({"callbacks": {"Timer": [1, {"inner": value}]}}, path)
    assert caught.value.code == "CheckpointNotStorable"
    assert "callbacks/Timer/1/inner" in caught.value.message
    assert list(tmp_path.iterdir()) == []


CHECKPOINT = {
    "state_dict": {"net.weight": torch.arange(6.0).reshape(2, 3), "net.count": torch.tensor(3)},
    "loops": {"fit_loop": {"done": True}},
    "neanias": {"network": "island-rcnn", "step": 12},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.safetensors"
    write_checkpoint(CHECKPOINT, path)
    return path


def test_the_file_is_one_that_safetensors_reads(saved):
    tensors = load_file(saved)
    assert torch.equal(tensors["state_dict/net.weight"], CHECKPOINT["state_dict"]["net.weight"])
    assert set(tensors) == {"state_dict/net.weight", "state_dict/net.count"}
    assert read_description(saved) == CHECKPOINT["neanias"]
    assert same(read_checkpoint(saved)["neanias"], CHECKPOINT["neanias"])
    assert verify_checkpoint(saved)["version"] == "1"


def test_equal_checkpoints_are_equal_files(saved, tmp_path):
    write_checkpoint(CHECKPOINT, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_every_altered_byte_is_found(saved):
    content = saved.read_bytes()
    for place in range(len(content)):
        saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelError) as caught:
            read_checkpoint(saved)
        assert caught.value.code == "CheckpointDamaged", place


def test_every_truncation_is_found(saved):
    content = saved.read_bytes()
    for length in [*range(100), *range(100, len(content), 7), len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(ModelError, match="copy it once more") as caught:
            verify_checkpoint(saved)
        assert caught.value.code == "CheckpointDamaged", length
    saved.write_bytes(content + b"\0")
    with pytest.raises(ModelError, match="sha256"):
        verify_checkpoint(saved)


def test_files_of_others_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "weights.safetensors", metadata={"format": "pt"})
    (tmp_path / "text.safetensors").write_text("(dp0\n.")
    for name in ("weights", "text"):
        with pytest.raises(ModelError, match="no checkpoint of this program") as caught:
            read_checkpoint(tmp_path / f"{name}.safetensors")
        assert caught.value.code == "CheckpointDamaged"
    with pytest.raises(ModelError) as caught:
        read_checkpoint(tmp_path / "none.safetensors")
    assert caught.value.code == "CheckpointMissing"


def test_another_version_is_told_from_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "VERSION", 2)
    write_checkpoint(CHECKPOINT, tmp_path / "last.safetensors")
    monkeypatch.undo()
    with pytest.raises(ModelError, match="has version 2") as caught:
        read_checkpoint(tmp_path / "last.safetensors")
    assert caught.value.code == "CheckpointVersion"


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("name", ["last.safetensors", "last.ckpt", "last"])
@pytest.mark.parametrize("kind", ["zip", "legacy", 2, 3, 4, 5])
def test_pickles_are_refused_and_not_opened(kind, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if isinstance(kind, int):
        path.write_bytes(pickle.dumps({"state_dict": Bomb()}, protocol=kind))
    else:
        torch.save({"state_dict": Bomb()}, path, _use_new_zipfile_serialization=kind == "zip")
    for read in (read_checkpoint, verify_checkpoint, read_description):
        with pytest.raises(ModelError, match="can run any code") as caught:
            read(path)
        assert caught.value.code == "PickleRefused"
    assert not (tmp_path / "exploded").exists()


def test_old_pickles_are_refused_by_name(tmp_path):
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps({"a": 1}, protocol=0))
    with pytest.raises(ModelError) as caught:
        read_checkpoint(tmp_path / "old.ckpt")
    assert caught.value.code == "PickleRefused"


def test_map_location(saved):
    def weight(location):
        return read_checkpoint(saved, map_location=location)["state_dict"]["net.weight"]

    former = []
    assert weight("meta").device == weight(torch.device("meta")).device == torch.device("meta")
    assert weight({"cpu": "meta"}).device.type == "meta"
    assert weight({"cuda:0": "meta"}).device.type == "cpu"
    assert same(weight(lambda storage, device: former.append(device)), CHECKPOINT["state_dict"]["net.weight"])
    assert same(weight(lambda storage, device: storage.clone()), CHECKPOINT["state_dict"]["net.weight"])
    assert former == ["cpu", "cpu"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_of_a_gpu_are_read_onto_the_cpu_or_another_device(tmp_path):
    tensor = torch.randn(4, 3, 2, 2, device="cuda").contiguous(memory_format=torch.channels_last)
    path = tmp_path / "last.safetensors"
    write_checkpoint({"tensor": tensor}, path)
    assert same(read_checkpoint(path)["tensor"], tensor.cpu())
    for location in ("cuda", {"cuda:0": "cuda:0"}, lambda storage, device: storage.cuda()):
        loaded = read_checkpoint(path, map_location=location)["tensor"]
        assert loaded.device == tensor.device
        assert torch.equal(loaded, tensor)
        assert loaded.stride() == tensor.stride()


def big(seed):
    return {"state_dict": {"weight": torch.randn(2_000_000, generator=torch.Generator().manual_seed(seed))}}


@contextlib.contextmanager
def file_size_limit(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_size_limit_leaves_the_last_good_checkpoint(saved):
    content = saved.read_bytes()
    untouched = r"last\.safetensors of before is untouched"
    with file_size_limit(1_000_000), pytest.raises(ResourceError, match=untouched) as caught:
        write_checkpoint(big(1), saved)
    assert caught.value.code == "DiskFull"
    assert "--resume" in caught.value.message
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert saved.read_bytes() == content
    write_checkpoint(big(1), saved)
    assert same(read_checkpoint(saved), big(1))


@pytest.mark.parametrize(
    ("function", "number", "code"),
    [
        ("write", errno.ENOSPC, "DiskFull"),
        ("fsync", errno.ENOSPC, "DiskFull"),
        ("fsync", errno.EDQUOT, "DiskFull"),
        ("write", errno.EIO, "CheckpointNotWritten"),
        ("open", errno.EACCES, "CheckpointNotWritten"),
    ],
)
def test_errors_of_the_disk_leave_the_last_good_checkpoint(function, number, code, saved, monkeypatch):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fails)
    with pytest.raises(ResourceError, match=os.strerror(number)) as caught:
        write_checkpoint(big(2), saved)
    monkeypatch.undo()
    assert caught.value.code == code
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert same(read_checkpoint(saved)["state_dict"], CHECKPOINT["state_dict"])


@pytest.mark.skipif(not shutil.which("mount") or os.geteuid() != 0, reason="only root mounts file systems")
def test_a_full_file_system_leaves_the_last_good_checkpoint(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        path = tmp_path / "checkpoints" / "last.safetensors"
        write_checkpoint(CHECKPOINT, path)
        with pytest.raises(ResourceError, match="No space left") as caught:
            write_checkpoint(big(3), path)
        assert caught.value.code == "DiskFull"
        assert [other.name for other in path.parent.iterdir()] == [path.name]
        assert same(read_checkpoint(path)["loops"], CHECKPOINT["loops"])
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_an_interrupt_leaves_the_last_good_checkpoint(saved, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(big(4), saved)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    verify_checkpoint(saved)


def test_what_a_killed_process_left_is_overwritten(saved):
    leftover = saved.with_name(f".neanias-partial-{saved.name}")
    leftover.write_bytes(b"half")
    write_checkpoint(big(5), saved)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / "last.safetensors").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "last.safetensors", tmp_path / "file" / "last.safetensors"):
        with pytest.raises(ResourceError) as caught:
            write_checkpoint(CHECKPOINT, path)
        assert caught.value.code == "CheckpointNotWritten"


def test_a_large_checkpoint_is_not_copied_to_be_written(tmp_path):
    script = (
        "import resource, sys, torch; from pathlib import Path\n"
        "from neanias_ml.training.checkpoint_files import write_checkpoint\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "state = {str(i): torch.ones(1_000_000).reshape(1000, 1000).t() for i in range(25)}\n"
        "before = peak(); write_checkpoint(state, Path(sys.argv[1])); print(peak() - before)\n"
    )
    path = tmp_path / "last.safetensors"
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1048576"}  # freed memory is given back
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True, env=environment
    )
    assert path.stat().st_size > 100e6
    assert float(done.stdout) < 50  # MB, for 100 MB of tensors that all have to be reordered
