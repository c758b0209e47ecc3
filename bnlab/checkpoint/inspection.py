"""Tell what is in a checkpoint from its header alone."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bnlab.checkpoint import safetensors_file, torch_file
from bnlab.checkpoint.contents import SAFETENSORS, Format, state_dict, tell_format
from bnlab.checkpoint.errors import CheckpointError
from bnlab.checkpoint.keys import COUNTER, STATISTICS
from bnlab.checkpoint.tree import unpack


@dataclass(frozen=True)
class TensorInfo:
    """A tensor's shape, its dtype by torch's name, and its size in bytes."""

    shape: tuple[int, ...]
    dtype: str
    nbytes: int


@dataclass(frozen=True)
class NormInfo:
    """A norm layer, as far as its keys tell.

    Attributes:
        name: Of the layer in the model.
        channels: How many values each of its tensors has.
        affine: Whether it has a weight.
        tracked: Whether it has both running statistics.
        counted: Whether it has `num_batches_tracked`.
    """

    name: str
    channels: int
    affine: bool
    tracked: bool
    counted: bool


@dataclass(frozen=True)
class Inspection:
    """What a file holds; the text and the table say it to people.

    Attributes:
        path: Of the file.
        format: "safetensors" or "torch".
        size: In bytes.
        tensors: Of the model, by key.
        norms: Its norm layers.
        missing_for_eval: Running statistics that a norm should have beside what it has, by key.
        kept: "model", and which of "optimizer", "scheduler", "generators" and "rng" are there.
        epoch: As it was saved.
        step: As it was saved.
        config: As it was saved.
        digest: Whether damage would be noticed.
    """

    path: Path
    format: Format
    size: int
    tensors: dict[str, TensorInfo]
    norms: list[NormInfo]
    missing_for_eval: tuple[str, ...]
    kept: tuple[str, ...]
    epoch: int | None = None
    step: int | None = None
    config: Any = None
    digest: bool = False

    def __repr__(self) -> str:
        wide = max((len(key) for key in self.tensors), default=0)
        rows = (f"  {k:{wide}}  {v.dtype:8}  {_shape(v)}" for k, v in self.tensors.items())
        return "\n".join([*self._summary(), *rows])

    def _repr_html_(self) -> str:
        head = "".join(f"<p>{html.escape(line)}</p>" for line in self._summary())
        rows = "".join(
            f"<tr><td>{html.escape(key)}</td><td>{html.escape(_shape(info))}</td>"
            f"<td>{info.dtype}</td><td>{info.nbytes}</td></tr>"
            for key, info in self.tensors.items()
        )
        columns = "".join(f"<th>{name}</th>" for name in ("key", "shape", "dtype", "bytes"))
        return f"{head}<table><tr>{columns}</tr>{rows}</table>"

    def _say_missing(self) -> str:
        if self.norms and not (self.missing_for_eval or any(n.tracked for n in self.norms)):
            return "all running statistics, if these are batch norms; else nothing"
        return ", ".join(self.missing_for_eval) or "nothing"

    def _summary(self) -> list[str]:
        where = [
            f"{n} {v}" for n, v in (("epoch", self.epoch), ("step", self.step)) if v is not None
        ]
        return [
            f"{self.path.name}: {self.format}, {self.size} bytes, holds {', '.join(self.kept)}",
            *([", ".join(where)] if where else []),
            *([f"config {self.config}"] if self.config is not None else []),
            f"norm layers: {', '.join(map(_say, self.norms)) or 'none'}",
            f"missing for eval mode: {self._say_missing()}",
            *([] if self.digest else ["no digest: damage in the values would go unnoticed"]),
        ]


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Return what is in a checkpoint, reading only its header and running nothing.

    A batch norm saved without any running statistics looks like a layer norm: to know, load the
    file into the model.

    Args:
        path: Of anything that `load` reads.

    Raises:
        CheckpointError: It cannot be read, is cut off, or would run code.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from bnlab import checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoint.save(f"{folder}/norm.safetensors", nn.BatchNorm1d(3))
        ...     inspect(f"{folder}/norm.safetensors").norms
        [NormInfo(name='', channels=3, affine=True, tracked=True, counted=True)]
    """
    path = Path(path)
    kind = tell_format(path)
    read = _read_safetensors if kind == SAFETENSORS else _read_torch
    tensors, rest, digest = read(path)
    norms = _find_norms(tensors)
    parts = ("model", "optimizer", "scheduler", "generators", "rng")
    return Inspection(
        path,
        kind,
        path.stat().st_size,
        tensors,
        norms,
        tuple(_missing(tensors, norms)),
        tuple(part for part in parts if part == "model" or rest.get(part) is not None),
        rest.get("epoch"),
        rest.get("step"),
        rest.get("config"),
        digest,
    )


def _read_safetensors(path: Path) -> tuple[dict[str, TensorInfo], dict[str, Any], bool]:
    with safetensors_file.opened(path) as (file, _):
        rest = safetensors_file.described(path, file.metadata() or {})
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        stored = {name: _info(s.get_shape(), s.get_dtype()) for name, s in slices.items()}
    if rest is None:
        return stored, {}, False
    try:
        parts = {part: unpack(value, stored) for part, value in rest.items()}
        model = {k: v for k, v in parts["model"].items() if isinstance(v, TensorInfo)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(path, f"its metadata are damaged: {error!r}") from error
    return model, parts, True


def _read_torch(path: Path) -> tuple[dict[str, TensorInfo], dict[str, Any], bool]:
    rest = torch_file.read(path, "meta")
    state = state_dict(path, rest)
    tensors = {
        key: TensorInfo(tuple(t.shape), str(t.dtype).removeprefix("torch."), t.nbytes)
        for key, t in state.items()
        if isinstance(t, Tensor)
    }
    return tensors, rest, False


def _info(shape: list[int], dtype: str) -> TensorInfo:
    bits = 8 if dtype == "BOOL" else int("".join(c for c in dtype.split("_")[0] if c.isdigit()))
    nbytes = math.prod(shape) * bits // 8
    known = safetensors_file.DTYPES.get(dtype, dtype.lower())
    return TensorInfo(tuple(shape), str(known).removeprefix("torch."), nbytes)


def _find_norms(tensors: Mapping[str, TensorInfo]) -> list[NormInfo]:
    layers: dict[str, dict[str, TensorInfo]] = {}
    for key, info in tensors.items():
        layer, _, name = key.rpartition(".")
        layers.setdefault(layer, {})[name] = info
    norms = []
    for layer, own in layers.items():
        flat = "weight" in own and "bias" in own and len(own["weight"].shape) == 1
        if flat or any(name in own for name in STATISTICS):
            channels = next(own[n].shape[0] for n in (*STATISTICS, "weight") if n in own)
            tracked = all(name in own for name in STATISTICS)
            norms.append(NormInfo(layer, channels, "weight" in own, tracked, COUNTER in own))
    return norms


def _missing(tensors: Mapping[str, TensorInfo], norms: list[NormInfo]) -> list[str]:
    """What a layer lacks that has a part of it, or that all others of its model have."""
    tracks = any(norm.tracked for norm in norms)
    missing = []
    for norm in norms:
        keys = [f"{norm.name}.{name}".lstrip(".") for name in STATISTICS]
        if tracks or any(key in tensors for key in keys) or norm.counted:
            missing += [key for key in keys if key not in tensors]
    return missing


def _say(norm: NormInfo) -> str:
    lacks = "" if norm.tracked else ", no running statistics"
    uncounted = ", no counter" if norm.tracked and not norm.counted else ""
    return f"{norm.name or 'the model itself'} ({norm.channels}{lacks}{uncounted})"


def _shape(info: TensorInfo) -> str:
    return " × ".join(map(str, info.shape)) or "a number"
