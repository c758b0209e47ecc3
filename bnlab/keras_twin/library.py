"""Keras 3 on torch, and the network of the tutorials in it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def load_keras() -> Any:
    r"""Import Keras 3 with torch as its backend, and return it.

    Keras chooses its backend once, when it is first imported. This import chooses torch, on the CPU
    as all else here, and neither reads nor writes settings in `~/.keras`: a folder or device named
    in `KERAS_HOME` or `KERAS_TORCH_DEVICE` is heeded, and the environment is as before afterwards.
    For settings of your own, set `KERAS_BACKEND=torch` and import Keras yourself first.

    Raises:
        ModuleNotFoundError: Keras, or something that it needs, is not installed.
        RuntimeError: Keras has been imported with another backend.

    Example:
        >>> load_keras().backend.backend()
        'torch'

    https://keras.io/getting_started/#configuring-your-backend
    """
    if "keras" not in sys.modules:
        with tempfile.TemporaryDirectory() as home, _environment(home):
            try:
                import keras
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError(
                    f"{error}: install Keras with `pip install keras`, or restart the kernel if an "
                    "import of keras has failed in it before",
                    name=error.name,
                ) from error
    import keras

    backend = keras.backend.backend()
    if backend != "torch":
        raise RuntimeError(
            f"Keras has been imported with {backend} as its backend, and keeps it: restart the "
            'kernel, and run os.environ["KERAS_BACKEND"] = "torch" before the first import of keras'
        )
    return keras


def keras_mlp(
    inputs: int, *, classes: int = 10, epsilon: float = 1e-3, momentum: float = 0.99
) -> Any:
    """Build the network of `bnlab.models.mlp` in Keras, with batch norm and ending in a softmax.

    Args:
        inputs: Number of inputs.
        classes: Number of outputs.
        epsilon: Of the norms; the default is Keras's.
        momentum: Weight of the *old* value in the moving statistics; the default is Keras's.

    Shape:
        - input: :math:`(N, inputs)`
        - output: :math:`(N, classes)`, probabilities

    Raises:
        ModuleNotFoundError, RuntimeError: As `load_keras` raises them.

    Example:
        >>> [layer.name for layer in keras_mlp(64).layers[:3]]
        ['linear1', 'norm1', 'relu1']

    https://keras.io/api/layers/normalization_layers/batch_normalization/
    """
    keras = load_keras()
    model = keras.Sequential([keras.Input((inputs,))])
    for number, units in ((1, 128), (2, 64)):
        model.add(keras.layers.Dense(units, name=f"linear{number}"))
        model.add(
            keras.layers.BatchNormalization(
                epsilon=epsilon, momentum=momentum, name=f"norm{number}"
            )
        )
        model.add(keras.layers.ReLU(name=f"relu{number}"))
    model.add(keras.layers.Dense(classes, name="output"))
    model.add(keras.layers.Softmax(name="softmax"))
    return model


@contextmanager
def _environment(home: str) -> Iterator[None]:
    wanted = {
        "KERAS_BACKEND": "torch",
        "KERAS_HOME": os.environ.get("KERAS_HOME", home),
        "KERAS_TORCH_DEVICE": os.environ.get("KERAS_TORCH_DEVICE", "cpu"),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
