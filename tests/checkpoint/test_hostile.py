"""No file runs code, whatever it is called and however it is wrapped."""

import builtins
import io
import json
import os
import pickle
import runpy
import struct
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bnlab import BatchNorm1d, checkpoint
from tests.checkpoint.children import Children
from tests.checkpoint.states import refusal, small_work

EXTENSIONS = (".pt", ".pth", ".safetensors", ".bin", ".pkl")


class Calls:
    """Pickled, it is a call that unpickling makes."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def payloads(marker: Path) -> dict[str, Calls]:
    """Ways to write a file by being unpickled."""
    script = marker.with_name("script.py")
    script.write_text(f"open({str(marker)!r}, 'w').close()")
    return {
        "os.system": Calls(os.system, f"touch '{marker}'"),
        "builtins.eval": Calls(builtins.eval, f"open({str(marker)!r}, 'w').close()"),
        "builtins.exec": Calls(builtins.exec, f"open({str(marker)!r}, 'w').close()"),
        "builtins.open": Calls(builtins.open, str(marker), "w"),
        "subprocess": Calls(subprocess.check_call, ["touch", str(marker)]),
        "runpy": Calls(runpy.run_path, str(script)),
        "Path.touch": Calls(Path.touch, marker),
    }


def plain_pickle(payload: Calls) -> bytes:
    return pickle.dumps({"weight": torch.zeros(2), "bias": payload}, protocol=2)


def saved_by_torch(value: object, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def torch_zip(payload: Calls) -> bytes:
    return saved_by_torch({"weight": torch.zeros(2), "bias": payload})


def torch_legacy(payload: Calls) -> bytes:
    return saved_by_torch({"weight": torch.zeros(2), "bias": payload}, legacy=True)


def model_with(payload: Calls) -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 2), BatchNorm1d(2))
    model[0].note = payload
    return model


def whole_model(payload: Calls) -> bytes:
    return saved_by_torch(model_with(payload))


def whole_model_legacy(payload: Calls) -> bytes:
    return saved_by_torch(model_with(payload), legacy=True)


def bundle(payload: Calls) -> bytes:
    """A good state dict, and the harm beside it."""
    state = nn.Sequential(nn.Linear(3, 2), BatchNorm1d(2)).state_dict()
    return saved_by_torch({"state_dict": state, "epoch": 3, "config": payload})


def pickle_in_a_zip(payload: Calls) -> bytes:
    """The layout of torch's files, made without torch."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data.pkl", pickle.dumps(payload, protocol=2))
    return file.getvalue()


def numpy_objects(payload: Calls) -> bytes:
    file = io.BytesIO()
    np.savez(file, weight=np.array([payload], dtype=object), allow_pickle=True)
    return file.getvalue()


def before_a_good_file(payload: Calls) -> bytes:
    """A pickle, and a whole state dict of torch's behind it."""
    good = saved_by_torch({"weight": torch.zeros(2)}, legacy=True)
    return pickle.dumps(payload, protocol=2) + good


WRAPPINGS = {
    wrap.__name__: wrap
    for wrap in (
        plain_pickle,
        torch_zip,
        torch_legacy,
        whole_model,
        whole_model_legacy,
        bundle,
        pickle_in_a_zip,
        numpy_objects,
        before_a_good_file,
    )
}


def open_carelessly(path: Path, wrapping: str) -> None:
    """What the classic tutorials do; whether it also fails afterwards is no matter here."""
    try:
        if wrapping in ("plain_pickle", "before_a_good_file"):
            with path.open("rb") as file:
                pickle.load(file)
        elif wrapping == "numpy_objects":
            np.load(path, allow_pickle=True)["weight"]
        else:
            torch.load(path, weights_only=False)
    except Exception as error:
        print(f"{path.name}: {error}")


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_payloads_are_live(children: Children, tmp_path: Path, wrapping: str) -> None:
    """The control: opened carelessly, every one of them writes its file."""
    marker = tmp_path / "marker"
    for name, payload in payloads(marker).items():
        path = tmp_path / "hostile.pt"
        path.write_bytes(WRAPPINGS[wrapping](payload))
        assert not marker.exists()
        children.call(open_carelessly, path, wrapping)
        assert marker.exists(), f"{name} in a {wrapping} did not run: the test proves nothing"
        marker.unlink()


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_nothing_is_executed(tmp_path: Path, wrapping: str, extension: str) -> None:
    marker = tmp_path / "marker"
    work = small_work(seed=1)
    for name, payload in payloads(marker).items():
        path = tmp_path / f"hostile{extension}"
        path.write_bytes(WRAPPINGS[wrapping](payload))
        before = work.frozen()
        ways = {
            "load": lambda path=path: checkpoint.load(path, work.model, **work.parts()),
            "load the model": lambda path=path: checkpoint.load(path, work.model),
            "unverified": lambda path=path: checkpoint.load(path, work.model, verify=False),
            "read": lambda path=path: checkpoint.read(path),
            "inspect": lambda path=path: checkpoint.inspect(path),
        }
        for way, open_it in ways.items():
            with pytest.raises(checkpoint.CheckpointError) as refused:
                open_it()
            assert str(path) in str(refused.value)
            assert not marker.exists(), f"{way} ran {name} in a {wrapping}{extension}"
        assert work.frozen() == before


def test_a_whole_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Sequential(nn.Linear(3, 2), BatchNorm1d(2)), path)
    with pytest.raises(checkpoint.CheckpointError, match="whole model") as refused:
        checkpoint.load(path, small_work(seed=1).model)
    assert str(path) in str(refused.value)
    # What its maker can do, and what that takes.
    assert "weights_only=False" in str(refused.value)
    assert "trust" in str(refused.value)


def test_harm_kept_by_an_optimizer_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    work = small_work(seed=2, steps=1)
    state = work.optimizer.state_dict()
    state["param_groups"][0]["hook"] = payloads(marker)["builtins.open"]
    path = tmp_path / "model.pt"
    torch.save({"model": work.model.state_dict(), "optimizer": state}, path)
    before = work.frozen()
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(path, work.model, optimizer=work.optimizer)
    assert work.frozen() == before
    assert not marker.exists()


# From here: files of safetensors' format that were made by hand.


def packed(header: bytes, values: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + values


def entry(begin: int, end: int, shape: object = (2,), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def of(tensors: dict[str, object], values: int = 8) -> bytes:
    return packed(json.dumps(tensors).encode(), bytes(values))


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


HEADERS = {
    "deeply nested lists": packed(nested(100_000)),
    "deeply nested objects": packed(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "nested metadata": packed(b'{"__metadata__":' + nested(100_000) + b"}"),
    "a length beyond the file": packed(b"{}", length=1 << 20),
    "a length of a terabyte": packed(b"{}", length=1 << 40),
    "the greatest length": packed(b"{}", length=(1 << 64) - 1),
    "a length of minus one, signed": packed(b"{}", length=1 << 63),
    "no header": packed(b""),
    "a list": packed(b"[]"),
    "a number": packed(b"12345678"),
    "null": packed(b"null"),
    "two objects": packed(b"{}{}"),
    "not UTF-8": packed(b'{"\xff\xfe":1}'),
    "metadata not UTF-8": packed(b'{"__metadata__":{"format":"\xff"}}'),
    "not JSON": packed(b"{'a': 1}"),
    "half of an object": packed(b'{"a":'),
    "metadata that is a list": packed(b'{"__metadata__":["pt"]}'),
    "metadata that is nested": packed(b'{"__metadata__":{"a":{"b":"c"}}}'),
    "metadata of numbers": packed(b'{"__metadata__":{"a":1}}'),
    "outside the file": of({"0.weight": entry(0, 1 << 30, [1 << 28])}),
    "begins after the end": of({"0.weight": entry(1 << 30, (1 << 30) + 8)}),
    "ends before it begins": of({"0.weight": entry(8, 0)}),
    "negative offsets": of({"0.weight": entry(-8, 0)}),
    "offsets that are floats": of({"0.weight": entry(0.0, 8.0)}),
    "three offsets": of({"0.weight": {**entry(0, 8), "data_offsets": [0, 4, 8]}}),
    "overlapping tensors": of({"a": entry(0, 8), "b": entry(4, 12)}, 12),
    "twice the same bytes": of({"a": entry(0, 8), "b": entry(0, 8)}),
    "a hole": of({"a": entry(0, 8), "b": entry(16, 24)}, 24),
    "bytes that belong to no tensor": of({"a": entry(0, 8)}, 800),
    "a shape that is too large": of({"a": entry(0, 8, [3])}),
    "a shape that is too small": of({"a": entry(0, 8, [1])}),
    "a negative shape": of({"a": entry(0, 8, [-2])}),
    "two negative sizes": of({"a": entry(0, 8, [-1, -2])}),
    "a shape beyond 64 bits": of({"a": entry(0, 8, [1 << 62, 1 << 62])}),
    "a shape that wraps around": of({"a": entry(0, 8, [1 << 33, 1 << 31, 2])}),
    "a shape of words": of({"a": entry(0, 8, ["2"])}),
    "a shape that is a number": of({"a": entry(0, 8, 2)}),
    "an unknown dtype": of({"a": entry(0, 8, [2], "F33")}),
    "a dtype that is a number": of({"a": entry(0, 8, [2], 32)}),
    "no dtype": of({"a": {"shape": [2], "data_offsets": [0, 8]}}),
    "no offsets": of({"a": {"shape": [2], "dtype": "F32"}}),
    "an entry that is a word": of({"a": "F32"}),
}
DUPLICATES = (
    b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    b'"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}'
)


@pytest.mark.parametrize("what", HEADERS)
def test_a_hostile_header_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(HEADERS[what])
    model = nn.Linear(2, 1)
    for verify in (True, False):
        with pytest.raises(checkpoint.CheckpointError, match=r"hostile\.safetensors"):
            checkpoint.load(path, model, verify=verify)
        with pytest.raises(checkpoint.CheckpointError, match=r"hostile\.safetensors"):
            checkpoint.read(path, verify=verify)
    with pytest.raises(checkpoint.CheckpointError, match=r"hostile\.safetensors"):
        checkpoint.inspect(path)


def test_duplicate_keys_are_refused(tmp_path: Path) -> None:
    """Two readers of one file would see two different models."""
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(packed(DUPLICATES, bytes(12)))
    for open_it in (checkpoint.read, checkpoint.inspect):
        with pytest.raises(checkpoint.CheckpointError):
            open_it(path)


HOSTILE_METADATA = {
    "nested lists": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "half": '{"epoch":',
    "empty": "",
    "null": "null",
    "a list": "[]",
    "a number": "1e999",
    "a long number": "9" * 10_000,
    "a word": '"word"',
    "not a value": "NaN",
    "an empty object": "{}",
    "surrogate": '"\\ud800"',
}


@pytest.mark.parametrize("what", HOSTILE_METADATA)
@pytest.mark.parametrize("verify", [True, False], ids=["verified", "not verified"])
def test_hostile_metadata_is_refused_or_harmless(tmp_path: Path, what: str, verify: bool) -> None:
    """Every value of the header's metadata in turn; the values of the tensors stay as they are."""
    path = tmp_path / "hostile.safetensors"
    work = small_work(seed=2, steps=3)
    checkpoint.save(path, work.model, epoch=3, config={"a": [1]}, **work.parts())
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    assert header["__metadata__"]
    for key in header["__metadata__"]:
        metadata = {**header["__metadata__"], key: HOSTILE_METADATA[what]}
        changed = json.dumps({**header, "__metadata__": metadata}).encode()
        path.unlink()
        path.write_bytes(packed(changed, content[end:]))
        other = small_work(seed=1)
        before = other.frozen()
        load = partial(checkpoint.load, path, other.model, rng=True, **other.parts())
        if refusal(partial(load, verify=verify)):
            assert other.frozen() == before
        else:
            assert not verify, "a changed header was verified"
        # Whatever else these raise comes out here.
        refusal(partial(checkpoint.inspect, path))
        refusal(partial(checkpoint.read, path, verify=verify))


def touch_limits_memory(path: Path) -> str:
    """Read it with half a gigabyte more than the process has."""
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (512 << 20), now + (512 << 20)))
    return str(refusal(partial(checkpoint.read, path)))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("claimed", [1 << 30, 1 << 40, (1 << 63) - 1])
def test_a_claimed_length_takes_no_memory(children: Children, tmp_path: Path, claimed: int) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(packed(b"{}", bytes(100), length=claimed))
    assert str(path) in children.call(touch_limits_memory, path)
