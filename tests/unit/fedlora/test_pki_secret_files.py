"""Files that are their owner's alone, and that come whole or not at all."""

import errno
import os
import re
from pathlib import Path

import pytest

from fedlora.errors import CredentialError
from fedlora.pki import (
    create_authority,
    create_node_key,
    create_secret,
    issue_server_certificate,
    private_directory,
    write_private,
)
from fedlora.pki.secret_files import new_private_directory, write_together

MOVE = "move it away first"
FORCE = "move it away first, or replace it with --force"


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o7777


def test_modes(tmp_path, no_umask):
    made = create_authority(tmp_path, federation="test")
    issue_server_certificate(made, tmp_path, names=["a"])
    create_node_key(tmp_path / "node")
    create_secret(tmp_path / "secret")
    assert {file.name: oct(mode(file)) for file in tmp_path.iterdir()} == dict.fromkeys(
        ("ca.crt", "ca.key", "server.crt", "server.key", "node", "node.pub", "secret"), "0o600"
    )


def test_mode_is_right_before_anything_is_written(tmp_path, no_umask, monkeypatch):
    modes = []
    fdopen = os.fdopen

    def look(descriptor: int, *arguments: object) -> object:
        modes.append((os.fstat(descriptor).st_mode & 0o7777, os.fstat(descriptor).st_size))
        return fdopen(descriptor, *arguments)

    monkeypatch.setattr(os, "fdopen", look)
    write_private(tmp_path / "a", b"content")
    assert modes == [(0o600, 0)]


def test_written_content(tmp_path):
    file = tmp_path / "a"
    assert write_private(file, b"\x00\xff\r\n") == file
    assert file.read_bytes() == b"\x00\xff\r\n"


def test_secret(tmp_path):
    first, second = create_secret(tmp_path / "a"), create_secret(tmp_path / "b")
    assert re.fullmatch(rb"[0-9a-f]{64}", first.read_bytes())
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize(
    ("existing", "create", "advice"),
    [
        ("ca.key", lambda folder, _: create_authority(folder, federation="test"), MOVE),
        ("ca.crt", lambda folder, _: create_authority(folder, federation="test"), MOVE),
        ("server.key", lambda folder, authority: issue_server_certificate(authority, folder, names=["a"]), FORCE),
        ("server.crt", lambda folder, authority: issue_server_certificate(authority, folder, names=["a"]), FORCE),
        ("node", lambda folder, _: create_node_key(folder / "node"), FORCE),
        ("node.pub", lambda folder, _: create_node_key(folder / "node"), FORCE),
        ("secret", lambda folder, _: create_secret(folder / "secret"), MOVE),
        ("file", lambda folder, _: write_private(folder / "file", b"new"), MOVE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_overwritten(authority, tmp_path, existing, create, advice):
    file = tmp_path / existing
    file.write_bytes(b"precious")
    with pytest.raises(CredentialError) as caught:
        create(tmp_path, authority)
    assert str(caught.value) == f"{file} exists already and is not overwritten; {advice}"
    assert file.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [file]  # and half of a new pair does not stay behind


def test_a_link_is_not_followed(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(CredentialError) as caught:
        write_private(link, b"new")
    assert str(caught.value) == f"{link} exists already and is not overwritten; move it away first"
    assert not (tmp_path / "target").exists()


def test_a_file_in_a_folder_that_is_not_there(tmp_path):
    file = tmp_path / "none" / "file"
    with pytest.raises(CredentialError) as caught:
        write_private(file, b"new")
    assert str(caught.value) == f"cannot write {file}: No such file or directory; nothing was changed"


def test_private_directory(tmp_path, no_umask):
    folder = tmp_path / "above" / "keys"
    assert private_directory(folder) == folder
    assert mode(folder) == 0o700
    (folder / "file").touch()
    assert private_directory(folder) == folder
    assert (folder / "file").exists()


@pytest.mark.parametrize("open_to", [0o750, 0o705, 0o710, 0o701, 0o702, 0o777])
def test_a_folder_that_others_may_enter(tmp_path, open_to):
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(open_to)
    with pytest.raises(CredentialError) as caught:
        private_directory(folder)
    assert str(caught.value) == f"{folder} has mode 0{open_to:o}: others may enter it; run: chmod 700 {folder}"
    assert mode(folder) == open_to


def test_a_file_in_place_of_the_folder(tmp_path):
    file = tmp_path / "keys"
    file.touch()
    with pytest.raises(CredentialError) as caught:
        private_directory(file)
    assert str(caught.value) == f"cannot create the folder {file}: [Errno 17] File exists: '{file}'"


# --- all of a group or none, and the one before kept


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def full_at(monkeypatch, call: str, number: int):
    """Let the disk be full when `call` of the module os is made for the `number`-th time."""
    real, made = getattr(os, call), []

    def full(*arguments, **options):
        made.append(arguments)
        if len(made) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, full)


# The third fsync is the folder's, after all is in its place.
@pytest.mark.parametrize(("call", "number"), [*(("fsync", n) for n in (1, 2, 3)), *(("link", n) for n in (1, 2))])
@pytest.mark.parametrize("replace", [False, True], ids=["new", "replaced"])
def test_a_full_disk_changes_nothing(tmp_path, monkeypatch, call, number, replace):
    a, b = tmp_path / "a", tmp_path / "b"
    before = {"a": b"old a", "b": b"old b"} if replace else {}
    for name, content in before.items():
        write_private(tmp_path / name, content)
    full_at(monkeypatch, call, number)
    with pytest.raises(CredentialError) as caught:
        write_together({a: b"new a", b: b"new b"}, replace=replace)
    assert str(caught.value) == f"cannot write {a} and {b}: No space left on device; nothing was changed"
    assert {name: content for name, content in contents(tmp_path).items() if ".previous" not in name} == before


def test_a_rename_that_fails_brings_the_first_back(tmp_path, monkeypatch):
    a, b = write_private(tmp_path / "a", b"old a"), tmp_path / "b"
    real = Path.replace

    def fail(self, target):
        if target == b:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CredentialError):
        write_together({a: b"new a", b: b"new b"}, replace=True)
    assert contents(tmp_path) == {"a": b"old a", "a.previous": b"old a"}


def test_what_is_replaced_is_kept(tmp_path, no_umask):
    a, b = write_private(tmp_path / "a", b"old a"), tmp_path / "b"
    write_together({a: b"new a", b: b"new b"}, replace=True)
    assert contents(tmp_path) == {"a": b"new a", "a.previous": b"old a", "b": b"new b"}
    write_together({a: b"newer a", b: b"newer b"}, replace=True)
    assert contents(tmp_path) == {
        "a": b"newer a",
        "a.previous": b"new a",
        "b": b"newer b",
        "b.previous": b"new b",
    }
    assert {mode(file) for file in tmp_path.iterdir()} == {0o600}


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    file, real = tmp_path / "a", os.link

    def late(*arguments):
        file.write_bytes(b"precious")
        return real(*arguments)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(CredentialError) as caught:
        write_private(file, b"new")
    assert str(caught.value) == f"{file} exists already and is not overwritten; {MOVE}"
    assert contents(tmp_path) == {"a": b"precious"}


def test_a_folder_made_for_nothing_goes_again(tmp_path):
    with pytest.raises(ZeroDivisionError), new_private_directory(tmp_path / "x" / "y") as folder:
        assert mode(folder) == 0o700
        raise ZeroDivisionError
    assert contents(tmp_path) == {}
    with pytest.raises(ZeroDivisionError), new_private_directory(tmp_path):
        raise ZeroDivisionError
    assert tmp_path.is_dir()  # it was there before
