"""Put values into a model that they are known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

OURS = ("torch.", "bnlab.")


def fill(model: nn.Module, state: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    """Load a checked state dict; a model on the meta device gets tensors of its own.

    If a module with its own way of loading fails, the model is as it was.
    """
    if on_meta(wanted):
        ties = _ties(model)
        made = {
            key: value.to(wanted[key].dtype, copy=True) if isinstance(value, Tensor) else value
            for key, value in state.items()
        }
        model.load_state_dict(made, strict=False, assign=True)
        _tie_again(model, ties)
        return
    # Copying what fits cannot fail, so only others' code needs a way back.
    before = _copy(wanted) if any(map(_loads_its_own_way, model.modules())) else {}
    try:
        model.load_state_dict(state, strict=False)
    except BaseException:
        with torch.no_grad():
            for key, value in before.items():
                wanted[key].copy_(value)
        raise


def on_meta(wanted: Mapping[str, Any]) -> bool:
    """Whether tensors of a model have no values yet."""
    return any(isinstance(value, Tensor) and value.is_meta for value in wanted.values())


def share(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Add the keys under which the model has a tensor that the file has under another key."""
    first = {id(value): key for key, value in wanted.items() if key in state}
    others = {
        key: state[first[id(value)]]
        for key, value in wanted.items()
        if key not in state and id(value) in first
    }
    return {**state, **others}


def _copy(wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in wanted.items() if isinstance(v, Tensor)}


def _loads_its_own_way(module: nn.Module) -> bool:
    kind = type(module)
    ways = (kind.load_state_dict, kind._load_from_state_dict, kind.set_extra_state)
    return (
        bool(module._load_state_dict_pre_hooks)
        or bool(module._load_state_dict_post_hooks)
        or not all(way.__module__.startswith(OURS) for way in ways)
    )


def _ties(model: nn.Module) -> list[list[str]]:
    """The names of parameters and buffers that have several."""
    names: dict[int, list[str]] = {}
    for tensors in (model.named_parameters, model.named_buffers):
        for name, tensor in tensors(remove_duplicate=False):
            names.setdefault(id(tensor), []).append(name)
    return [several for several in names.values() if len(several) > 1]


def _tie_again(model: nn.Module, ties: list[list[str]]) -> None:
    for first, *others in ties:
        owner, _, own = first.rpartition(".")
        tensor = getattr(model.get_submodule(owner), own)
        for name in others:
            owner, _, own = name.rpartition(".")
            setattr(model.get_submodule(owner), own, tensor)
