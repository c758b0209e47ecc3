"""Our own files: safetensors, with the rest as JSON in its metadata and a digest over all."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bnlab.checkpoint.durable import replacing
from bnlab.checkpoint.errors import CheckpointError
from bnlab.checkpoint.tree import UnstorableError, pack, unpack

REST, DIGEST, KIND = "bnlab.checkpoint", "digest", "xxh3_128"
VERSION = 1
# What is mapped here, by the format's names; the rare others the library reads.
DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "BF16": torch.bfloat16,
    **{f"F{bits}": getattr(torch, f"float{bits}") for bits in (16, 32, 64)},
    **{f"I{bits}": getattr(torch, f"int{bits}") for bits in (8, 16, 32, 64)},
}


def write(path: Path, contents: Mapping[str, Any]) -> None:
    """Write named values; those of "model" get their tensors' names without a prefix.

    Raises:
        CheckpointError: A value cannot be stored, or the file cannot be written.
    """
    kept: dict[str, Tensor] = {}
    known: dict[tuple[object, ...], str] = {}
    places: set[int] = set()

    def store(name: str, tensor: Tensor) -> str:
        plain = _plain(name, tensor)
        # One tensor under several names is stored once, and is one again when it is read.
        same = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if plain.numel() and same in known:
            return known[same]
        # The format has this name for itself.
        while name in kept or name == "__metadata__":
            name += "'"
        if plain.data_ptr() in places:
            # Another view of what is kept, which safetensors would refuse.
            plain = plain.clone()
        places.add(plain.data_ptr())
        known[same] = name
        kept[name] = plain
        return name

    try:
        packed = {
            part: pack(value, "" if part == "model" else f"{part}/", store)
            for part, value in contents.items()
            if value is not None
        }
    except UnstorableError as error:
        raise CheckpointError(path, f"it was not saved: {error}") from None
    except RecursionError:
        raise CheckpointError(
            path, "it was not saved: something in it contains itself, or is nested too deeply"
        ) from None
    metadata = {"format": "pt", REST: json.dumps({"version": VERSION, **packed})}
    metadata[DIGEST] = digest(kept, metadata)
    try:
        with replacing(path) as temporary:
            save_file(kept, temporary, metadata)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            path, f"it could not be written, and what was there before is as it was: {error}"
        ) from error


def read(path: Path, device: str, *, verify: bool) -> dict[str, Any]:
    """Return what was written, its tensors mapped from the file; others' files are a "model".

    Raises:
        CheckpointError: The file is damaged, or of a later version.
    """
    with opened(path, device) as (file, raw):
        metadata = file.metadata() or {}
        try:
            mapped = _mapped(raw) if device == "cpu" else {}
            tensors = {
                name: mapped[name] if name in mapped else file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
            }
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise CheckpointError(path, f"it cannot be read to {device}: {error}") from error
    rest = described(path, metadata)
    if rest is None:
        return {"model": tensors}
    if verify and digest(tensors, metadata) != metadata[DIGEST]:
        raise CheckpointError(
            path,
            "it is damaged: its contents are not those that its digest was made of. "
            "Take another copy, or an earlier checkpoint",
        )
    try:
        return {part: unpack(value, tensors) for part, value in rest.items()}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(path, f"it is damaged: {error}") from error


@contextmanager
def opened(path: Path, device: str = "cpu") -> Iterator[tuple[Any, BinaryIO]]:
    """Give the file by the library, which has read and checked its header, and as it is.

    Raises:
        CheckpointError: It is not a whole safetensors file.
    """
    while True:
        with _raw(path) as raw:
            try:
                file = safe_open(path, framework="pt", device=device)
            except (OSError, RuntimeError, SafetensorError) as error:
                if _is(raw, path):
                    raise CheckpointError(
                        path,
                        f"it is not a whole safetensors file ({error}): cut off or damaged. "
                        "Take another copy, or an earlier checkpoint",
                    ) from error
                continue
            # A save in between would give the header of one file and the values of another.
            if _is(raw, path):
                with file:
                    yield file, raw
                return


def _raw(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CheckpointError(path, f"it cannot be read: {error.strerror}") from error


def _is(raw: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one at the path, and as long and as old."""
    try:
        ours, theirs = os.fstat(raw.fileno()), path.stat()
    except OSError:
        return False
    return os.path.samestat(ours, theirs) and ours.st_mtime_ns == theirs.st_mtime_ns


def _mapped(raw: BinaryIO) -> dict[str, Tensor]:
    """The tensors of a checked file, read when they are used: the library takes ten times as long.

    Each has a storage of its own; to write into one changes neither the file nor another reader's.
    """
    memory = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_COPY)
    start = 8 + int.from_bytes(memory[:8], "little")
    header = json.loads(memory[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        dtype = DTYPES.get(about["dtype"])
        begin, end = about["data_offsets"]
        # What is empty has no place to map, and torch wants an address that the dtype divides.
        if dtype and begin < end and (start + begin) % dtype.itemsize == 0:
            count = (end - begin) // dtype.itemsize
            flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=start + begin)
            # Most are vectors, and a view takes as long as all else here.
            tensors[name] = flat if len(about["shape"]) == 1 else flat.view(about["shape"])
    return tensors


def described(path: Path, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what the metadata say beside the tensors; None if somebody else wrote the file.

    Raises:
        CheckpointError: They are damaged, or of a later version.
    """
    if REST not in metadata and DIGEST not in metadata:
        return None
    try:
        rest = json.loads(metadata[REST])
        version = rest.pop("version")
        if not metadata[DIGEST].startswith(f"{KIND}:"):
            raise ValueError(f"the digest is not of the kind {KIND}")
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            path,
            f"its metadata are damaged ({error}). Take another copy, or an earlier checkpoint",
        ) from error
    if version != VERSION:
        raise CheckpointError(
            path, f"it is of version {version}, and this bnlab reads {VERSION}: update bnlab"
        )
    parts: dict[str, Any] = rest
    return parts


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the digest of names, dtypes, shapes and bytes, and of all other metadata."""
    hashed = xxhash.xxh3_128()
    about = [[name, str(t.dtype), list(t.shape)] for name, t in sorted(tensors.items())]
    others = sorted((key, value) for key, value in metadata.items() if key != DIGEST)
    hashed.update(json.dumps([about, others]).encode())
    for _, tensor in sorted(tensors.items()):
        hashed.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return f"{KIND}:{hashed.hexdigest()}"


def _plain(name: str, tensor: Tensor) -> Tensor:
    """The tensor as it is written: on the CPU, dense, its values in order and nobody else's."""
    if tensor.is_meta:
        raise UnstorableError(f"{name} is on the meta device and has no values")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise UnstorableError(
            f"{name} is sparse or quantized: save tensor.to_dense() or dequantize()"
        )
    if tensor.is_complex():
        raise UnstorableError(
            f"{name} is complex, which not every safetensors reads: save view_as_real"
        )
    plain = tensor.detach().cpu().contiguous()
    # Two views that share memory would be refused.
    return plain if plain.untyped_storage().nbytes() == plain.nbytes else plain.clone()
