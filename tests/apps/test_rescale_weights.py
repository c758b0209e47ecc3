"""Weights times a: outputs and gradients held against the scaled networks themselves."""

import copy
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bnlab import BatchNorm1d, data, models
from bnlab.apps.rescale_weights import SHOWN, RescaleWeights, as_fraction
from bnlab.data import Split

DIGITS = data.digits(flat=True)
BATCH = Split(DIGITS.train.inputs[:32].double(), DIGITS.train.targets[:32])
NAMES = ["linear1.weight", "linear2.weight"]


def networks() -> dict[str, nn.Module]:
    built = {}
    for name, norm in {"BN": partial(BatchNorm1d, eps=1e-30), "no norm": None}.items():
        torch.manual_seed(0)
        built[name] = models.mlp(64, norm).double()
    return built


@pytest.mark.parametrize("kind", ["BN", "no norm"])
def test_dots_and_gradient_are_those_of_the_scaled_network(kind: str) -> None:
    explorer = RescaleWeights(networks(), BATCH, NAMES)
    explorer.show(kind=kind, scale=4.0)
    model, sizes = networks()[kind], []
    for factor in (1.0, 4.0):
        scaled = copy.deepcopy(model)
        with torch.no_grad():
            for name in NAMES:
                scaled.get_parameter(name).mul_(factor)
        outputs = scaled(BATCH.inputs)
        cross_entropy(outputs, BATCH.targets).backward()
        grads = [scaled.get_parameter(name).grad.flatten() for name in NAMES]
        sizes.append(torch.cat(grads).norm().item())
    drawn = explorer.artists.outputs.get_ydata()
    assert list(drawn) == pytest.approx(outputs[:SHOWN].flatten().tolist())
    assert explorer.artists.now.get_xdata()[0] == 4.0
    assert explorer.artists.now.get_ydata()[0] == pytest.approx(sizes[1] / sizes[0])


def test_words_count_what_lies_outside() -> None:
    explorer = RescaleWeights(networks(), BATCH, NAMES)
    explorer.show(kind="BN", scale=256.0)
    assert explorer.artists.beyond.get_text() == ""
    result = explorer.show(kind="no norm", scale=256.0)
    outside = int((result.after.abs() > explorer.artists.outputs.axes.get_ylim()[1]).sum())
    assert explorer.artists.beyond.get_text() == f"{outside} of {result.after.numel()} lie outside"


def test_scales_are_written_as_fractions() -> None:
    assert [as_fraction(scale) for scale in (4.0, 1.0, 0.25)] == ["4", "1", "1/4"]
    explorer = RescaleWeights(networks(), BATCH, NAMES)
    caption = explorer.describe(explorer.show(kind="BN", scale=0.25))
    assert caption.startswith("Weights times 1/4: ")
    assert caption.endswith("4 times as large.")


def test_every_state_draws_without_a_warning_in_a_small_page() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = RescaleWeights(networks(), BATCH, NAMES)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
