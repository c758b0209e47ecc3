"""A save that cannot be finished leaves the old file, and a save in the way of another too."""

import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from bnlab import checkpoint
from bnlab.checkpoint import CheckpointError
from tests.checkpoint.children import Children
from tests.checkpoint.states import names, refusal

NOBODY = 65534


def model_of(version: int, features: int = 200) -> nn.Module:
    """160 kB in which every number is the version."""
    model = nn.Linear(features, features)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(version)
    return model


def save_version(path: Path, version: int, features: int = 200) -> None:
    checkpoint.save(path, model_of(version, features), epoch=version, rng=False)


def version_in(path: Path) -> int:
    model = model_of(-1)
    loaded = checkpoint.load(path, model)
    found = {loaded.epoch} | {int(v) for p in model.parameters() for v in p.unique()}
    assert len(found) == 1, f"a mixture of versions {sorted(found)}"
    return found.pop()


def save_with_limit(path: Path, limit: int) -> str:
    """Save when no file may be longer than the limit; what the error says."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return str(refusal(partial(save_version, path, 2)))


@pytest.mark.parametrize("limit", [0, 1, 100, 4096, 100_000, 160_000])
def test_a_limit_on_the_length_of_files(children: Children, tmp_path: Path, limit: int) -> None:
    path = tmp_path / "model.safetensors"
    save_version(path, 1)
    assert path.stat().st_size > 160_000
    said = children.call(save_with_limit, path, limit)
    assert said.startswith(str(path))
    assert "too large" in said.lower()
    assert names(tmp_path) == [path.name]
    assert version_in(path) == 1
    save_version(path, 2)
    assert version_in(path) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for 512 kB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0755", "tmpfs", str(folder)]
    if sys.platform != "linux" or shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a small disk")
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk may be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until the disk takes no more."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "model.safetensors"
    save_version(path, 1)
    # Room for the old file and a part of the new one.
    (small_disk / "other").write_bytes(bytes(250_000))
    before = path.read_bytes()
    for _ in range(3):
        with pytest.raises(CheckpointError, match=r"(?i)no space left") as refused:
            save_version(path, 2)
        assert refused.value.path == str(path)
        assert path.read_bytes() == before
        assert names(small_disk) == ["model.safetensors", "other"]
        assert version_in(path) == 1
    (small_disk / "other").unlink()
    save_version(path, 2)
    assert version_in(path) == 2
    assert names(small_disk) == ["model.safetensors"]


def test_a_disk_with_no_room_at_all(small_disk: Path) -> None:
    path = small_disk / "model.safetensors"
    save_version(path, 1)
    fill(small_disk / "other")
    for target in (path, small_disk / "new.safetensors"):
        with pytest.raises(CheckpointError, match=r"(?i)no space left"):
            save_version(target, 2)
    assert names(small_disk) == ["model.safetensors", "other"]
    assert version_in(path) == 1


def test_a_full_disk_can_be_read(small_disk: Path) -> None:
    path = small_disk / "model.safetensors"
    save_version(path, 1)
    fill(small_disk / "other")
    assert version_in(path) == 1


def use(path: Path, way: str) -> str:
    """What the error says, of saving, reading or inspecting."""
    ways = {"save": partial(save_version, version=2), "load": version_in}
    return str(refusal(partial(ways.get(way) or getattr(checkpoint, way), path)))


def use_as_nobody(path: Path, way: str) -> str:
    """The same for somebody without root's rights."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return use(path, way)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others can read: those of pytest's are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def test_a_folder_that_may_not_be_written(children: Children, public: Path) -> None:
    path = public / "model.safetensors"
    save_version(path, 1)
    path.chmod(0o666)
    public.chmod(0o555)
    said = children.call(use_as_nobody, path, "save")
    assert said.startswith(str(path))
    assert "ermission" in said
    assert names(public) == [path.name]
    assert version_in(path) == 1


def test_a_file_that_may_not_be_read(children: Children, public: Path) -> None:
    path = public / "model.safetensors"
    save_version(path, 1)
    path.chmod(0o000)
    for way in ("load", "read", "inspect"):
        said = children.call(use_as_nobody, path, way)
        assert said.startswith(str(path))
        assert "ermission" in said


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.mkdir()
    (path / "inside").write_text("mine")
    for call in (
        partial(save_version, path, 1),
        partial(checkpoint.load, path, model_of(1)),
        partial(checkpoint.read, path),
        partial(checkpoint.inspect, path),
    ):
        with pytest.raises(CheckpointError, match=r"folder|directory") as refused:
            call()
        assert refused.value.path == str(path)
    assert names(tmp_path) == [path.name]
    assert (path / "inside").read_text() == "mine"


@pytest.mark.parametrize("place", ["absent/model.safetensors", "file/model.safetensors"])
def test_a_folder_that_is_not_there(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    path = tmp_path / place
    for call in (partial(save_version, path, 1), partial(checkpoint.load, path, model_of(1))):
        with pytest.raises(CheckpointError, match=r"(?i)no such|not a directory|folder") as refused:
            call()
        assert refused.value.path == str(path)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes with names")
@pytest.mark.parametrize("way", ["read", "inspect", "save"])
def test_a_pipe_is_refused_and_not_waited_for(children: Children, tmp_path: Path, way: str) -> None:
    path = tmp_path / "model.safetensors"
    os.mkfifo(path)
    child = children.start(use, path, way)
    said = children.wait(child, seconds=10)
    assert said.startswith(str(path))
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_the_longest_names(tmp_path: Path) -> None:
    for name in ("m" * 243 + ".safetensors", "ü" * 121 + ".safetensors"):
        path = tmp_path / name
        for version in (1, 2):
            save_version(path, version)
            assert version_in(path) == version
        assert names(tmp_path) == [name]
        path.unlink()


@pytest.mark.parametrize("name", ["a*b[c]?.safetensors", "with space", "-rf", "über.pt", ".hidden"])
def test_strange_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ab").mkdir()
    for path in (tmp_path / name, Path(name), name, f"ab/../{name}", os.fsencode(name).decode()):
        save_version(path, 1)
        save_version(path, 2)
        assert version_in(path) == 2
        assert names(tmp_path) == sorted(["ab", name])


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    real = store / "real.safetensors"
    save_version(real, 1)
    links = tmp_path / "links"
    links.mkdir()
    for at, target in enumerate([real, Path("../store/real.safetensors")]):
        link = links / f"{at}.safetensors"
        link.symlink_to(target)
        save_version(link, at + 2)
        assert link.is_symlink()
        assert link.readlink() == target
        assert not real.is_symlink()
        assert version_in(link) == version_in(real) == at + 2
    assert names(store) == ["real.safetensors"]
    assert names(links) == ["0.safetensors", "1.safetensors"]


def test_a_link_to_nothing_yet(tmp_path: Path) -> None:
    link = tmp_path / "last.safetensors"
    link.symlink_to("real.safetensors")
    save_version(link, 1)
    assert link.is_symlink()
    assert version_in(tmp_path / "real.safetensors") == 1


def test_links_in_a_circle(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(CheckpointError):
        checkpoint.read(first)
    with pytest.raises(CheckpointError):
        checkpoint.inspect(first)


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    path, other = tmp_path / "model.safetensors", tmp_path / "other.txt"
    save_version(path, 1)
    other.write_text("an ordinary file")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_an_old_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_version(path, 1)
    path.chmod(0o640)
    save_version(path, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_was_read_stays_when_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_version(path, 1)
    before = checkpoint.read(path, verify=False)
    save_version(path, 2)
    assert all(int(value) == 1 for tensor in before.values() for value in tensor.unique())


def test_what_was_read_can_be_changed_and_the_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_version(path, 1)
    for verify in (True, False):
        for tensor in checkpoint.read(path, verify=verify).values():
            tensor.add_(1)
        assert version_in(path) == 1


def save_alternately(path: Path, versions: list[int]) -> int:
    for version in versions:
        save_version(path, version)
    return len(versions)


def test_two_processes_save_to_one_path(children: Children, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    path = folder / "model.safetensors"
    save_version(path, 0)
    saves = 40
    both = [
        children.start(save_alternately, path, [base + at for at in range(saves)])
        for base in (1000, 2000)
    ]
    seen = set()
    while version_in(path) == 0:
        pass
    for _ in range(40):
        seen.add(version_in(path))
    # Neither of them lost the file that it was writing: each would have raised.
    assert [children.wait(child) for child in both] == [saves, saves]
    assert version_in(path) in (1000 + saves - 1, 2000 + saves - 1)
    assert names(folder) == [path.name]
    assert len(seen) > 3, "nothing was read while they saved"
