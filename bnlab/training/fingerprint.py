"""Tell by content whether two runs are the same: their code, what it refers to, and its data."""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

PACKAGE = Path(__file__).parent.parent
PICTURES = ("apps", "plots")
"""Parts of the package that no result depends on."""


class Fingerprints:
    """Digests of values, each computed once: use one object for the runs of one sweep.

    A function written by the reader counts by its compiled code, its defaults and whatever it
    closes over or names, and so on from there: one line changed in a helper changes the digest, a
    comment does not. Installed packages count by name and version, bnlab by its source.

    Example:
        >>> def scaled(factor):
        ...     return lambda value: factor * value
        >>> prints = Fingerprints()
        >>> twice, again, thrice = map(prints.of, (scaled(2), scaled(2), scaled(3)))
        >>> twice == again, twice == thrice
        (True, False)
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}
        self._open: dict[int, int] = {}
        self._base: str | None = None

    def of(self, *values: Any) -> str:
        """Return the digest of values, of the package and of Python's and torch's versions.

        Raises:
            TypeError: There is a value among them whose content cannot be told.
        """
        if self._base is None:
            versions = f"{sys.version_info[:2]} {torch.__version__} {np.__version__}"
            sources = (
                path.read_bytes()
                for path in sorted(PACKAGE.rglob("*.py"))
                if path.relative_to(PACKAGE).parts[0] not in PICTURES
            )
            self._base = _hash(versions.encode(), *sources)
        return _hash(self._base.encode(), *(self._digest(value).encode() for value in values))

    def _digest(self, value: Any) -> str:
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            return _hash(f"{type(value).__name__} {value!r}".encode())
        place = id(value)
        if place in self._known:
            return self._known[place][1]
        if place in self._open:
            # What refers to itself is told by how far back that is.
            return f"again {len(self._open) - self._open[place]}"
        self._open[place] = len(self._open)
        try:
            parts = [
                part if isinstance(part, bytes) else self._digest(part).encode()
                for part in self._parts(value)
            ]
            digest = _hash(*parts)
        finally:
            del self._open[place]
        # The value is kept with it, so that no other takes its place in memory.
        self._known[place] = (value, digest)
        return digest

    def _parts(self, value: Any) -> Iterator[Any]:
        """What a value consists of: bytes, and values in turn."""
        yield type(value).__name__.encode()
        if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
            yield from value
        elif type(value) in (set, frozenset):
            yield from sorted(self._digest(part).encode() for part in value)
        elif type(value) is dict:
            for name, part in value.items():
                yield name
                yield part
        elif type(value) in (Tensor, torch.nn.Parameter):
            yield f"{value.dtype} {tuple(value.shape)} {value.requires_grad}".encode()
            content = value.detach().cpu().contiguous().reshape(-1)
            yield content.view(torch.uint8).numpy().tobytes()
        elif isinstance(value, np.ndarray) and value.dtype != object:
            yield f"{value.dtype} {value.shape}".encode()
            yield value.tobytes()
        elif isinstance(value, (torch.dtype, torch.device, Path)):
            yield str(value).encode()
        elif isinstance(value, ModuleType):
            yield value.__name__.encode()
            yield _source(value) if _is_ours(value.__name__) else _version(value.__name__)
        elif isinstance(value, (FunctionType, type)) and _is_installed(value):
            yield f"{value.__module__}.{value.__qualname__}".encode()
            yield _version(value.__module__)
        elif isinstance(value, FunctionType):
            yield from _code(value.__code__)
            yield from (value.__defaults__, value.__kwdefaults__)
            yield from (_content(cell) for cell in value.__closure__ or ())
            for name in sorted(_globals(value.__code__)):
                if name in value.__globals__:
                    yield name
                    yield value.__globals__[name]
        elif isinstance(value, type):
            yield from value.__bases__
            for name, part in sorted(vars(value).items()):
                if name not in LEFT_OUT:
                    yield name
                    yield part
        elif isinstance(value, MethodType):
            yield from (value.__func__, value.__self__)
        elif isinstance(value, BuiltinFunctionType):
            yield f"{value.__module__}.{value.__qualname__}".encode()
            yield value.__self__
        elif isinstance(value, functools.partial):
            yield from (value.func, value.args, dict(sorted(value.keywords.items())))
        elif isinstance(value, (staticmethod, classmethod)):
            yield value.__func__
        elif isinstance(value, property):
            yield from (value.fget, value.fset)
        elif hasattr(value, "__wrapped__"):
            yield value.__wrapped__
        else:
            yield from self._rebuilt(value)

    def _rebuilt(self, value: Any) -> Iterator[Any]:
        """By what pickle would make it of."""
        try:
            made = value.__reduce_ex__(4)
        except Exception as error:
            raise TypeError(
                f"a {type(value).__name__} cannot be part of a run that is kept: its content "
                "cannot be told; make it inside the run, or sweep with cache=None"
            ) from error
        if isinstance(made, str):
            yield f"{type(value).__module__}.{made}".encode()
            return
        for part in made:
            yield list(part) if isinstance(part, Iterator) else part


LEFT_OUT = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "_abc_impl"),
    *("__static_attributes__", "__dataclass_fields__", "__dataclass_params__"),
}
"""Of a class: what its methods and bases do not depend on, or say again."""


def _hash(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()


def _code(code: CodeType) -> Iterator[Any]:
    """What a function does, without where it stands."""
    yield code.co_code
    yield (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield constant


def _globals(code: CodeType) -> set[str]:
    """The names that a function, or one inside it, looks up outside of itself."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    return names.union(*(_globals(c) for c in code.co_consts if isinstance(c, CodeType)))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return b"empty"


def _is_ours(module: str) -> bool:
    """Whether a module is the reader's: of a notebook, a script or a file beside it."""
    if module.partition(".")[0] in (*sys.builtin_module_names, *sys.stdlib_module_names, "bnlab"):
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return True
    installed = (sysconfig.get_path(name) for name in ("purelib", "platlib"))
    return not any(Path(file).is_relative_to(folder) for folder in installed)


def _is_installed(value: FunctionType | type) -> bool:
    """Whether a function or class is found by its name in an installed package."""
    found: Any = None if _is_ours(value.__module__ or "") else sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _version(module: str) -> bytes:
    top = sys.modules.get(module.partition(".")[0])
    return str(getattr(top, "__version__", "")).encode()


def _source(module: ModuleType) -> bytes:
    file = getattr(module, "__file__", None)
    return Path(file).read_bytes() if file else b""
