"""Results appear together or not at all, and never replace those of another run by accident."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neanias_ml.catalogue.directory import LEFTOVER_AGE_S, PARTIAL_SUFFIX, OutputDirectory
from neanias_ml.errors import ResourceError, UsageError


def text_writer(text: str):
    """A writer of a small file."""
    return lambda path: path.write_text(text)


def names(folder: Path) -> set[str]:
    """Files in a folder."""
    return {path.name for path in folder.iterdir()}


def test_files_get_their_names_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    with OutputDirectory(folder) as output:
        place = output.write("islands.ecsv", text_writer("rows"))
        output.write("run.json", text_writer("{}"))
        assert place.read_text() == "rows"
        assert not names(folder) & {"islands.ecsv", "run.json"}
        assert output.final_paths() == [folder / "islands.ecsv", folder / "run.json"]
    assert names(folder) == {"islands.ecsv", "run.json"}


def test_manifest_is_renamed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append(target.name), rename(self, target))[1])
    with OutputDirectory(tmp_path) as output:
        for name in ("run.json", "islands.ecsv", "sources.reg"):
            output.write(name, text_writer(name))
    assert order == ["islands.ecsv", "sources.reg", "run.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_nothing(error: type[BaseException], tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_text("half")
        raise error

    with pytest.raises(error), OutputDirectory(tmp_path / "a" / "b") as output:
        output.write("islands.ecsv", text_writer("rows"))
        output.write("components.ecsv", fails)
    assert names(tmp_path) == set()


def test_failure_keeps_the_earlier_run(tmp_path: Path) -> None:
    with OutputDirectory(tmp_path) as output:
        output.write("run.json", text_writer("first"))
    with pytest.raises(ZeroDivisionError), OutputDirectory(tmp_path, overwrite=True) as output:
        output.write("run.json", text_writer(str(1 // 0)))
    assert (tmp_path / "run.json").read_text() == "first" and names(tmp_path) == {"run.json"}


def test_results_of_another_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "overview.png").write_text("theirs")
    with pytest.raises(UsageError, match="--overwrite") as caught:
        OutputDirectory(tmp_path)
    assert caught.value.code == "OutputExists" and caught.value.exit_code == 2
    assert str(tmp_path) in caught.value.message and "overview.png" in caught.value.message


def test_results_that_appear_during_the_run_are_refused(tmp_path: Path) -> None:
    output = OutputDirectory(tmp_path)
    (tmp_path / "run.json").write_text("theirs")
    with pytest.raises(UsageError), output:
        pass
    assert (tmp_path / "run.json").read_text() == "theirs"


def test_overwriting_replaces_the_run_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "my_map.fits").write_text("mine")
    with OutputDirectory(tmp_path) as output:
        for name in ("objects.ecsv", "masks.json", "run.json"):
            output.write(name, text_writer("old"))
    with OutputDirectory(tmp_path, overwrite=True) as output:
        for name in ("islands.ecsv", "run.json"):
            output.write(name, text_writer("new"))
    assert names(tmp_path) == {"my_map.fits", "islands.ecsv", "run.json"}
    assert (tmp_path / "run.json").read_text() == "new"


def test_other_files_do_not_hinder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with OutputDirectory(tmp_path) as output:
        output.write("run.json", text_writer("{}"))
    assert names(tmp_path) == {"notes.txt", "run.json"}


def test_old_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    old, young = tmp_path / f".aa-noise.fits{PARTIAL_SUFFIX}", tmp_path / f".bb-noise.fits{PARTIAL_SUFFIX}"
    for path in (old, young):
        path.write_text("half")
    past = old.stat().st_mtime - 2 * LEFTOVER_AGE_S
    os.utime(old, (past, past))
    with OutputDirectory(tmp_path) as output:
        output.write("run.json", text_writer("{}"))
    assert names(tmp_path) == {young.name, "run.json"}


def test_unknown_names_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="RESULT_FILES"), OutputDirectory(tmp_path) as output:
        output.write("../escape.txt", text_writer("x"))
    assert names(tmp_path) == set()


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_is_no_directory(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError) as caught, OutputDirectory(tmp_path / place):
        pass
    assert caught.value.code == "OutputNotADirectory"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_a_resource_error(code: int, tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_text("half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(ResourceError, match="no room") as caught, OutputDirectory(tmp_path / "out") as output:
        output.write("islands.ecsv", fails)
    assert caught.value.code == "DiskFull" and caught.value.exit_code == 4
    assert names(tmp_path) == set()


def test_forbidden_folder_is_a_resource_error(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with pytest.raises(ResourceError) as caught, OutputDirectory(tmp_path / "out") as output:
        output.write("islands.ecsv", fails)
    assert caught.value.code == "OutputNotWritable" and caught.value.exit_code == 4


def test_unwritable_folder_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != tmp_path)
    with pytest.raises(ResourceError, match="cannot be written"):
        OutputDirectory(tmp_path / "deep" / "er")


def test_errors_about_other_places_pass_unchanged(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "gone", "/elsewhere/map.fits")

    with pytest.raises(FileNotFoundError), OutputDirectory(tmp_path) as output:
        output.write("islands.ecsv", fails)


def test_a_real_limit_on_file_size_leaves_nothing(tmp_path: Path) -> None:
    """The operating system itself refuses to write more (as a quota does)."""
    code = """
import resource, sys
from pathlib import Path
from neanias_ml.catalogue.directory import OutputDirectory
from neanias_ml.errors import ResourceError
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    with OutputDirectory(sys.argv[1]) as output:
        output.write("islands.ecsv", lambda path: path.write_bytes(b"x" * 10000))
        output.write("noise.fits", lambda path: path.write_bytes(b"x" * 100000))
except ResourceError as error:
    sys.exit(error.exit_code)
"""
    judged = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, check=False)
    assert judged.returncode == 4, judged.stderr.decode()
    assert names(tmp_path) == set()
