"""Which layer hands its output to which: the graphs of a model's forward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from bnlab.folding.kinds import LINEAR
from bnlab.layers.kinds import BATCH_NORMS


@dataclass(frozen=True, eq=False)
class Part:
    """A module, and its forward pass."""

    module: nn.Module
    graph: fx.Graph


def trace(model: nn.Module) -> tuple[list[Part], dict[str, str]]:
    """Trace the model, and in place of a module that cannot be traced each of its children.

    Returns:
        The graphs, and why which module could not be traced, by name.
    """
    parts: list[Part] = []
    failed: dict[str, str] = {}
    # Whatever a forward pass draws while it is traced, nobody has asked for.
    with torch.random.fork_rng(devices=[]):
        waiting = [("", model)]
        while waiting:
            name, module = waiting.pop(0)
            tracer = _Tracer()
            try:
                parts.append(Part(module, tracer.trace(module)))
            except Exception as error:
                tracer.boxes = {"": _why(error)}
            prefix = f"{name}." if name else ""
            for box, reason in tracer.boxes.items():
                failed[(prefix + box).rstrip(".") or "model"] = reason
                inner = f"{prefix}{box}." if box else prefix
                children = module.get_submodule(box).named_children()
                waiting += [
                    (inner + child, m)
                    for child, m in children
                    if _has_norms(m) and not isinstance(m, BATCH_NORMS)
                ]
    return parts, failed


class _Tracer(fx.Tracer):
    """Records calls of layers; a module that cannot be traced is recorded as one call, a box."""

    # Else nobody would see that a forward pass reads a buffer itself.
    proxy_buffer_attributes = True

    def __init__(self) -> None:
        super().__init__()
        self.boxes: dict[str, str] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, LINEAR + BATCH_NORMS):
            return True
        return super().is_leaf_module(m, module_qualified_name) and not _has_norms(m)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        nodes, boxes, depth = set(self.graph.nodes), dict(self.boxes), len(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception as error:
            path = self.path_of_module(m)
            self.boxes = {**boxes, path: _why(error)}
            while len(self.module_stack) > depth:
                self.module_stack.popitem()
            for node in reversed(self.graph.nodes):
                # A parameter's node is kept for its next use.
                if node not in nodes and node.op != "get_attr":
                    self.graph.erase_node(node)
            return self.create_proxy("call_module", path, args, kwargs)


def calls_of(parts: list[Part]) -> dict[nn.Module, list[fx.Node]]:
    """The calls of each layer, in all graphs."""
    found: dict[nn.Module, list[fx.Node]] = {}
    for part, node in _nodes(parts, "call_module"):
        found.setdefault(part.module.get_submodule(str(node.target)), []).append(node)
    return found


def touched(parts: list[Part]) -> set[nn.Module]:
    """The layers of which a forward pass uses a parameter or a buffer without calling them."""
    return {
        part.module.get_submodule(str(node.target).rpartition(".")[0])
        for part, node in _nodes(parts, "get_attr")
    }


def _nodes(parts: list[Part], op: str) -> Iterator[tuple[Part, fx.Node]]:
    for part in parts:
        for node in part.graph.nodes:
            if node.op == op:
                yield part, node


def _has_norms(module: nn.Module) -> bool:
    return any(isinstance(inner, BATCH_NORMS) for inner in module.modules())


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
