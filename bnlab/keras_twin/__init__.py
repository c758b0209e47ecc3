"""The tutorials' network in Keras beside the one in torch, and what they learnt carried over."""

from bnlab.keras_twin.library import keras_mlp, load_keras
from bnlab.keras_twin.weights import carry_over

__all__ = ["carry_over", "keras_mlp", "load_keras"]
