"""The folder of a field: refused in time, and replaced as a whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from neanias_ml.errors import ResourceError, UsageError
from neanias_ml.output_files import replaced_together, require_room

NAMES = ("a", "b", "optional", "last")


def write(directory, text, names=("a", "b", "last")):
    with replaced_together(directory, names=NAMES) as folder:
        for name in names:
            (folder / name).write_text(text)


def contents(directory):
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_files_appear_together_when_the_block_ends(tmp_path):
    directory = tmp_path / "new" / "field"
    with replaced_together(directory, names=NAMES) as folder:
        (folder / "a").write_text("1")
        (folder / "last").write_text("1")
        assert not [path for path in directory.iterdir() if not path.name.startswith(".")]
    assert contents(directory) == {"a": "1", "last": "1"}


def test_an_earlier_set_goes_with_its_optional_files_and_nothing_else_does(tmp_path):
    write(tmp_path, "1", names=NAMES)
    (tmp_path / "mine").write_text("mine")
    write(tmp_path, "2")
    assert contents(tmp_path) == {"a": "2", "b": "2", "last": "2", "mine": "mine"}


def test_a_link_is_replaced_and_its_target_kept(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "field").mkdir()
    (tmp_path / "field" / "a").symlink_to(target)
    write(tmp_path / "field", "1")
    assert target.read_text() == "mine" and not (tmp_path / "field" / "a").is_symlink()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_nothing_is_left_of_a_block_that_stops(tmp_path, error):
    write(tmp_path / "old", "1")
    for directory in (tmp_path / "old", tmp_path / "new" / "field"):
        with pytest.raises(type(error)), replaced_together(directory, names=NAMES) as folder:
            (folder / "a").write_text("2")
            raise error
    assert contents(tmp_path / "old") == {"a": "1", "b": "1", "last": "1"}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("moves", range(7))
@pytest.mark.parametrize("done", [False, True])
def test_an_interrupt_while_files_move_puts_everything_back(tmp_path, monkeypatch, moves, done):
    # 4 old files go and 3 new ones come; the interrupt falls before or after one of these 7 moves
    write(tmp_path, "1", names=NAMES)
    replace, count = Path.replace, 0

    def interrupted(self, target):
        nonlocal count
        count += 1
        if count == moves + 1 and not done:
            raise KeyboardInterrupt
        result = replace(self, target)
        if count == moves + 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "2")
    assert contents(tmp_path) == dict.fromkeys(NAMES, "1")


def test_the_file_that_vouches_for_the_others_goes_first_and_comes_last(tmp_path, monkeypatch):
    write(tmp_path, "1")
    replace, order = Path.replace, []

    def recorded(self, target):
        order.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", recorded)
    write(tmp_path, "2")
    assert order[0] == order[-1] == "last" and len(order) == 6


def test_a_folder_under_the_name_of_a_file_is_kept(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="b is a folder"):
        require_room(tmp_path, names=NAMES, overwrite=True)
    with pytest.raises(UsageError, match="b is a folder"):
        write(tmp_path, "1")
    assert (tmp_path / "b" / "mine").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_room_is_looked_for_without_a_trace(tmp_path):
    require_room(tmp_path / "new" / "field", names=NAMES, overwrite=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").write_text("mine")
    require_room(tmp_path, names=NAMES, overwrite=False)
    assert contents(tmp_path) == {"mine": "mine"}


@pytest.mark.parametrize("name", NAMES)
def test_any_of_the_names_is_refused_unless_it_may_be_replaced(tmp_path, name):
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UsageError, match=f"{name}; .*--overwrite"):
        require_room(tmp_path, names=NAMES, overwrite=False)
    require_room(tmp_path, names=NAMES, overwrite=True)


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_file_is_no_folder(tmp_path, inside):
    (tmp_path / "file").write_text("mine")
    for attempt in (lambda path: require_room(path, names=NAMES, overwrite=True), lambda path: write(path, "1")):
        with pytest.raises(UsageError, match="not a folder") as caught:
            attempt(tmp_path / "file" / inside)
        assert caught.value.code == "OutputNotADirectory"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_name_may_be_too_long(tmp_path):
    with pytest.raises(UsageError) as caught:
        require_room(tmp_path / "new" / ("a" * 300), names=NAMES, overwrite=False)
    assert caught.value.code == "OutputNameTooLong"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EACCES, "OutputNotWritable"), (errno.EROFS, "OutputNotWritable"), (errno.ENOSPC, "DiskFull")],
)
def test_trouble_with_the_disk_is_a_resource_error(tmp_path, monkeypatch, number, code):
    def refused(self, *arguments, **options):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ResourceError) as caught:
        require_room(tmp_path / "field", names=NAMES, overwrite=False)
    assert caught.value.code == code and str(tmp_path) in caught.value.message


def test_an_error_of_ours_keeps_its_kind(tmp_path):
    with pytest.raises(OSError, match="damaged header"), replaced_together(tmp_path, names=NAMES):
        raise OSError("damaged header")
    assert not list(tmp_path.iterdir())
