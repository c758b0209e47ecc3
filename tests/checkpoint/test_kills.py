"""A process killed while it saves leaves a whole checkpoint, the last one or the one before."""

import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn, optim

from bnlab import checkpoint
from tests.checkpoint.children import Children
from tests.checkpoint.states import names

KILLS = 40
LOOKING = {"fspath", "stat", "lstat", "fstat", "getpid", "listdir", "scandir", "_path_normpath"}


def work_of(version: int, wide: int) -> tuple[nn.Module, optim.Optimizer]:
    """A model and an optimizer in which every number is the version; 2 MiB at a width of 512."""
    model = nn.Sequential(nn.Linear(wide, wide), nn.BatchNorm1d(wide))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(version)
        for parameter in model.parameters():
            parameter.requires_grad_()
            optimizer.state[parameter]["momentum_buffer"] = torch.full_like(parameter, version)
    return model, optimizer


def save_version(path: Path, version: int, wide: int = 512) -> None:
    model, optimizer = work_of(version, wide)
    # Every other file is longer, so that one written over the other would show.
    note = "long " * 2000 if version % 2 else ""
    config = {"version": version, "note": note}
    checkpoint.save(path, model, optimizer=optimizer, epoch=version, config=config)


def version_in(path: Path, wide: int = 512) -> int:
    """The version of a checkpoint that is verified and is of one version in all its parts."""
    model, optimizer = work_of(-1, wide)
    loaded = checkpoint.load(path, model, optimizer=optimizer)
    momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
    found = {loaded.epoch, loaded.config["version"]}
    for tensor in [*model.state_dict().values(), *momenta]:
        found |= {int(value) for value in tensor.unique()}
    assert len(momenta) == 4
    assert len(found) == 1, f"a mixture of versions {sorted(found)}"
    return found.pop()


class Counter:
    """A number in a file that outlives the process that counts."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    def set(self, value: int) -> None:
        self._memory[:] = struct.pack("<q", value)

    def get(self) -> int:
        return struct.unpack("<q", self._memory[:])[0]


def save_for_ever(path: Path, counter: Path, version: int) -> None:
    done = Counter(counter)
    while True:
        version += 1
        save_version(path, version)
        done.set(version)


def test_kills_at_random_moments_lose_nothing(children: Children, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    path = folder / "model.safetensors"
    done = Counter(tmp_path / "done")
    durations = []
    for version in (1, 2, 3):
        start = time.perf_counter()
        save_version(path, version)
        durations.append(time.perf_counter() - start)
    draw = random.Random(0)
    littered, versions = 0, []
    for kill in range(KILLS):
        before = version_in(path)
        done.set(before)
        child = children.start(save_for_ever, path, tmp_path / "done", before)
        deadline = time.monotonic() + 60
        while done.get() == before and time.monotonic() < deadline:
            time.sleep(0.0002)
        time.sleep(2 * min(durations) * (kill + draw.random()) / KILLS)
        children.kill(child)

        version = version_in(path)
        assert done.get() > before, "not one save was completed in a minute"
        assert version in (done.get(), done.get() + 1), "a completed save was lost"
        versions.append(version)
        littered += len(names(folder)) > 1
        save_version(path, version + 1)
        assert names(folder) == [path.name], "litter that a later save did not clear"
    assert littered >= KILLS // 8, f"only {littered} of {KILLS} kills struck inside a save"
    assert versions == sorted(versions)


def changes_files(called: object) -> bool:
    """Whether a function is the system's, or a file's, and does more than look."""
    owner = getattr(called, "__self__", None)
    systems = getattr(owner, "__name__", None) == "posix" or type(owner).__module__ == "_io"
    return systems and called.__name__ not in LOOKING


def save_until(path: Path, version: int, last: int | None) -> list[str]:
    """Save, and be killed just before or just after one of the calls that change files."""
    seen = []

    def watch(_, event: str, called: object) -> None:
        if event in ("c_call", "c_return") and changes_files(called):
            if len(seen) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            seen.append(f"{event} {called.__name__}")

    sys.setprofile(watch)
    try:
        save_version(path, version, wide=8)
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("exists", [True, False], ids=["old file", "no old file"])
def test_a_kill_around_every_call_that_changes_files(
    children: Children, tmp_path: Path, exists: bool
) -> None:
    path = tmp_path / "model.safetensors"
    if exists:
        save_version(path, 0, wide=8)
    calls = children.call(save_until, path, 1, None)
    assert {"c_call fsync", "c_return fsync"} <= set(calls)
    assert any(name in calls for name in ("c_return replace", "c_return rename"))
    found = set()
    for at in range(len(calls)):
        path.unlink()
        if exists:
            save_version(path, 0, wide=8)
        with pytest.raises(ChildProcessError, match="SIGKILL"):
            children.call(save_until, path, 1, at)
        found.add(version_in(path, wide=8) if path.exists() else None)
        save_version(path, 2, wide=8)
        assert names(tmp_path) == [path.name], f"litter of a kill at {calls[at]}"
        assert version_in(path, wide=8) == 2
    assert found == ({0, 1} if exists else {None, 1})


def test_files_of_other_names_are_not_taken_for_litter(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    others = ["model.safetensors.tmp", "model.safetensors.old", ".model.safetensors", "model"]
    others += [".model.safetensors.tmp", "model.safetensors~", "model2.safetensors", "tmp.txt"]
    for name in others:
        (tmp_path / name).write_text("mine")
    save_version(path, 1)
    save_version(path, 2)
    assert names(tmp_path) == sorted([*others, path.name])
    assert all((tmp_path / name).read_text() == "mine" for name in others)
