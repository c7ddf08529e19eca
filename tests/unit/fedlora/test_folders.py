"""New folders appear whole or not at all, and never in the place of what somebody else put there."""

import errno
import os
from pathlib import Path

import pytest

from fedlora.errors import ShardError, TrainerError
from fedlora.folders import check_room, new_folder


def make(directory, content="new", **options):
    with new_folder(directory, error=ShardError, **options) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text(content)


def tree(directory):
    return sorted(str(entry.relative_to(directory)) for entry in directory.rglob("*"))


@pytest.mark.parametrize("name", ["a", "above/a", "with space", "ümläut", "[red]", "new\nline", "-rf", "\udcff"])
def test_a_new_folder_is_its_owners_and_leaves_nothing_beside_it(tmp_path, name):
    make(tmp_path / name)
    assert (tmp_path / name / "inner" / "file").read_text() == "new"
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
    assert [entry for entry in tree(tmp_path) if ".fedlora" in entry] == []


def test_an_empty_folder_is_filled_also_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    make(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "inner" / "file").exists()


def test_what_stands_in_the_place_stays(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "theirs").touch()
    with pytest.raises(ShardError) as caught:
        make(tmp_path / "a")
    said = f"{tmp_path}/a is not empty, and is not overwritten; name another folder, or move it away"
    assert str(caught.value) == said
    with pytest.raises(ShardError, match="holds other things than what would replace it, and stays as it is; do b"):
        make(tmp_path / "a", replaceable=lambda _: False, advice="do b")
    with pytest.raises(ShardError, match="theirs exists and is no folder"):
        make(tmp_path / "a" / "theirs", replaceable=lambda _: True)
    assert tree(tmp_path) == ["a", "a/theirs"]


def test_what_may_be_replaced_is_replaced_as_a_whole(tmp_path):
    make(tmp_path / "a", "old")
    (tmp_path / "a" / "older").touch()
    make(tmp_path / "a", replaceable=lambda _: True)
    assert tree(tmp_path) == ["a", "a/inner", "a/inner/file"]
    assert (tmp_path / "a" / "inner" / "file").read_text() == "new"


def test_a_folder_that_something_is_mounted_on_is_filled(tmp_path, monkeypatch):
    mounted = tmp_path / "mounted"
    mounted.mkdir(mode=0o755)
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(mounted))
    before = mounted.stat().st_ino
    make(mounted)
    assert mounted.stat().st_ino == before  # else: renaming over a mount point is refused
    assert tree(tmp_path) == ["mounted", "mounted/inner", "mounted/inner/file"]
    with pytest.raises(ShardError, match="is not empty, and is not overwritten"):
        make(mounted, "newer")
    assert (mounted / "inner" / "file").read_text() == "new"


def test_a_mounted_folder_gets_all_or_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(tmp_path))
    with (
        pytest.raises(ShardError, match="Is a directory; nothing of it was left behind"),
        new_folder(tmp_path, error=ShardError) as folder,
    ):
        (folder / "a").touch()
        (folder / "b").touch()
        rename = Path.rename

        def full(self, target):
            if self == folder / "b" and target == tmp_path / "b":
                raise OSError(errno.EISDIR, "Is a directory")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", full)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError("x"), OSError(28, "No space left on device")])
@pytest.mark.parametrize("before", [False, True])
def test_a_block_that_does_not_end_well_leaves_what_was(tmp_path, stop, before):
    if before:
        make(tmp_path / "a", "old")
    kind = stop if isinstance(stop, type) else type(stop)
    with (
        pytest.raises(ShardError if kind is OSError else kind) as caught,
        new_folder(tmp_path / "a", error=ShardError, replaceable=lambda _: True) as folder,
    ):
        (folder / "half").touch()
        raise stop
    assert tree(tmp_path) == (["a", "a/inner", "a/inner/file"] if before else [])
    if kind is OSError:
        assert str(caught.value).startswith(f"{tmp_path}/a cannot be written: [Errno 28] No space left on device; ")


@pytest.mark.parametrize("moment", ["fsync", "rename"])
def test_a_disk_that_fails_at_the_end_leaves_what_was(tmp_path, monkeypatch, moment):
    make(tmp_path / "a", "old")
    genuine, calls = getattr(os, moment), []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == 2:  # the first rename puts the old folder aside, the third puts it back
            raise OSError(5, "Input/output error")
        return genuine(*arguments)

    monkeypatch.setattr(os, moment, fail)
    with pytest.raises(ShardError, match="Input/output error"):
        make(tmp_path / "a", replaceable=lambda _: True)
    monkeypatch.undo()
    assert tree(tmp_path) == ["a", "a/inner", "a/inner/file"]
    assert (tmp_path / "a" / "inner" / "file").read_text() == "old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match="file/a cannot be made: "):
        make(tmp_path / "file" / "a")


def test_a_disk_without_room_is_named_with_both_figures(tmp_path):
    check_room(tmp_path, 1, TrainerError)
    with pytest.raises(TrainerError, match=r"is full: \d+\.\d MB free, 1000000000000\.0 MB wanted\. Make room on it"):
        check_room(tmp_path, 10**18, TrainerError)
