"""The states of random generators, as values that a checkpoint holds."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator


def capture() -> dict[str, Any]:
    """Return the states of the global generators: torch's, Python's and NumPy's."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state()  # noqa: NPY002
    name, keys, place, has_gauss, cached = numpy
    states = {
        "torch": torch.get_rng_state(),
        "python": (version, torch.tensor(words), gauss),
        "numpy": (name, torch.tensor(keys.tolist()), int(place), int(has_gauss), float(cached)),
    }
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore(states: Mapping[str, Any]) -> None:
    """Set the global generators to states that `capture` returned: all of them, or none.

    Raises:
        KeyError: There is no state of one of them.
        TypeError: It is not such a state.
        ValueError: As TypeError.
        RuntimeError: As TypeError.
    """
    version, words, gauss = states["python"]
    python = (version, tuple(words.tolist()), gauss)
    name, keys, *rest = states["numpy"]
    numpy = (name, np.array(keys.tolist(), dtype=np.uint32), *rest)
    # Tried out first on generators that nobody uses.
    random.Random().setstate(python)
    np.random.RandomState().set_state(numpy)
    Generator().set_state(states["torch"])
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        for device, state in zip(range(torch.cuda.device_count()), states["cuda"], strict=False):
            torch.cuda.set_rng_state(state, device)


def capture_own(generators: Mapping[str, Generator]) -> dict[str, Any]:
    """Return the states of generators by name."""
    return {name: generator.get_state() for name, generator in generators.items()}


def restore_own(generators: Mapping[str, Generator], states: Mapping[str, Any]) -> None:
    """Set generators to states that `capture_own` returned: all of them, or none.

    Raises:
        KeyError: There is no state for one of them.
        TypeError: It is not a state.
        RuntimeError: It is a state of another kind of generator.
    """
    for name, generator in generators.items():
        Generator(generator.device).set_state(states[name])
    for name, generator in generators.items():
        generator.set_state(states[name])
