"""A file cut short or with a flipped bit is refused, or says exactly what it said before."""

import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bnlab import checkpoint
from tests.checkpoint.states import (
    Work,
    frozen,
    global_generators,
    refusal,
    seed_all,
    small_work,
)


@dataclass
class File:
    """A saved file, and how to load it with all that it keeps."""

    path: Path
    original: bytes
    everything: bool

    def load(self, work: Work) -> Any:
        parts = work.parts()
        if not self.everything:
            del parts["generators"]
        return checkpoint.load(self.path, work.model, rng=self.everything, **parts)

    def refused(self, damaged: Iterable[bytes]) -> int:
        """How many are refused, with everything left as it was; the others must do no harm."""
        count, total = 0, 0
        truth = self.loaded(self.original)
        work = small_work(seed=1)
        before = work.frozen()
        for content in damaged:
            assert content != self.original
            total += 1
            # A new file each time: the memory of an old one may still be mapped.
            self.path.unlink(missing_ok=True)
            self.path.write_bytes(content)
            error = refusal(partial(self.load, work))
            if error:
                count += 1
                assert str(self.path) in str(error)
                assert work.frozen() == before, f"changed by a refused file: {error}"
            else:
                assert self.loaded(content) == truth, "other values were loaded"
                seed_all(0)
                work = small_work(seed=1)
                before = work.frozen()
        assert total
        return count

    def loaded(self, content: bytes) -> object:
        """All that comes out of a file."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(content)
        work = small_work(seed=1)
        seed_all(5)
        result = self.load(work)
        told = frozen([result.epoch, result.step, result.config])
        return work.kept(), global_generators(), told, frozen(checkpoint.read(self.path))


def file_of(tmp_path: Path, everything: bool) -> File:
    seed_all(3)
    work = small_work(seed=2, steps=3)
    parts = work.parts()
    if not everything:
        # The states of generators are 5 kB each.
        del parts["generators"]
    path = tmp_path / "model.safetensors"
    config = {"lr": 0.1, "name": "small"}
    checkpoint.save(path, work.model, epoch=3, config=config, rng=everything, **parts)
    return File(path, path.read_bytes(), everything)


@pytest.fixture
def small(tmp_path: Path) -> File:
    file = file_of(tmp_path, everything=False)
    assert len(file.original) < 4000
    return file


@pytest.fixture
def full(tmp_path: Path) -> File:
    return file_of(tmp_path, everything=True)


def flipped(content: bytes, bits: Iterable[int]) -> Iterable[bytes]:
    for bit in bits:
        other = bytearray(content)
        other[bit // 8] ^= 1 << bit % 8
        yield bytes(other)


def header_length(content: bytes) -> int:
    return 8 + struct.unpack("<Q", content[:8])[0]


def test_the_whole_file_is_loaded(small: File, full: File) -> None:
    for file in (small, full):
        work = small_work(seed=1)
        file.load(work)
        assert work.kept()[:3] == small_work(seed=2, steps=3).kept()[:3]


def test_every_truncation_is_refused(small: File) -> None:
    lengths = range(len(small.original))
    assert small.refused(small.original[:length] for length in lengths) == len(lengths)


def test_every_truncation_is_refused_without_verification_too(small: File) -> None:
    for length in range(0, len(small.original), 7):
        small.path.unlink()
        small.path.write_bytes(small.original[:length])
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.read(small.path, verify=False)
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.inspect(small.path)


def test_truncations_of_a_file_with_everything_are_refused(full: File) -> None:
    lengths = random.Random(0).sample(range(len(full.original)), 100)
    assert full.refused(full.original[:length] for length in lengths) == len(lengths)


def test_bytes_after_the_end_are_refused_or_harmless(small: File) -> None:
    small.refused(small.original + tail for tail in (b"\0", b" ", b"}", small.original))


def test_random_bits_of_the_small_file(small: File) -> None:
    bits = random.Random(1).sample(range(8 * len(small.original)), 200)
    # The digest covers everything, so hardly a flip can be harmless; none changes a value.
    assert small.refused(flipped(small.original, bits)) >= 190


def test_random_bits_of_a_file_with_everything(full: File) -> None:
    bits = random.Random(2).sample(range(8 * len(full.original)), 200)
    assert full.refused(flipped(full.original, bits)) >= 190


def test_every_bit_of_the_values_is_seen(small: File) -> None:
    bits = range(8 * header_length(small.original), 8 * len(small.original))
    assert small.refused(flipped(small.original, bits)) == len(bits)


def test_bits_of_the_header(small: File) -> None:
    # All of its length, and with a step that comes by every bit of a byte.
    bits = [*range(64), *range(64, 8 * header_length(small.original), 13)]
    assert small.refused(flipped(small.original, bits)) >= 0.95 * len(bits)


def test_zeroed_and_swapped_blocks_are_refused(full: File) -> None:
    """What a disk does that has lost a sector, or written one in the wrong place."""
    content = full.original
    damaged = []
    for start in range(0, len(content), 512):
        block = content[start : start + 512]
        zeroed = content[:start] + bytes(len(block)) + content[start + 512 :]
        following = content[start + 512 : start + 1024]
        swapped = content[:start] + following + block + content[start + 1024 :]
        damaged += [other for other in (zeroed, swapped) if other != content]
    assert full.refused(damaged) == len(damaged)


def test_without_verification_a_flipped_value_is_loaded(small: File) -> None:
    """So it is the digest that finds the others."""
    small.path.unlink()
    small.path.write_bytes(next(iter(flipped(small.original, [8 * len(small.original) - 1]))))
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.read(small.path)
    checkpoint.read(small.path, verify=False)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_damaged_files_of_torch_raise_no_other_error(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "model.pt"
    model = small_work(seed=2).model
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not legacy)
    original = path.read_bytes()
    draw = random.Random(4)
    lengths = draw.sample(range(len(original)), 150)
    bits = draw.sample(range(8 * len(original)), 300)
    refused = 0
    for content in [*(original[:length] for length in lengths), *flipped(original, bits)]:
        path.unlink()
        path.write_bytes(content)
        work = small_work(seed=1)
        before = work.frozen()
        error = refusal(partial(checkpoint.load, path, work.model))
        if error:
            refused += 1
            assert str(path) in str(error)
            assert work.frozen() == before
        else:
            assert len(content) == len(original), "a truncated file was loaded"
    assert refused > len(lengths)
