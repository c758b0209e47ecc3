"""Bytes counted by hand, and clocks that are asked in turns."""

import time

import pytest
import torch
from torch import nn

import bnlab
from bnlab.data import Split
from bnlab.experiments.costs import saved_bytes, step_seconds

NORMS = [nn.BatchNorm2d, bnlab.BatchNorm2d]
LOSS = 4 * 6 * 5  # the log-probabilities: 6 samples, 5 classes, float32


def batch(*shape: int) -> Split:
    return Split(torch.randn(6, *shape), torch.arange(6) % 5)


def test_a_linear_layer_keeps_nothing_that_is_not_there_anyway() -> None:
    whole = torch.randn(1000, 7)
    of_many = Split(whole[:6], torch.zeros(6, dtype=torch.int64))
    extra = saved_bytes(nn.Linear(7, 5), of_many) - LOSS
    assert 0 <= extra <= 8  # cross-entropy keeps its total weight


def test_an_activation_kept_twice_counts_once() -> None:
    model = nn.Sequential(nn.Linear(7, 11), nn.ReLU(), nn.Linear(11, 5))
    kept = saved_bytes(model, batch(7)) - saved_bytes(nn.Linear(7, 5), batch(7))
    assert kept == 4 * 6 * 11  # ReLU's output is the last layer's input


@pytest.mark.parametrize("norm", NORMS)
def test_a_norm_adds_its_input_and_two_numbers_a_channel(norm) -> None:
    def model(*norms: nn.Module) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), *norms, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)
        )

    images = batch(1, 8, 8)
    more = saved_bytes(model(norm(8)), images) - saved_bytes(model(), images)
    feature_map = 4 * 6 * 8 * 36
    assert feature_map <= more <= feature_map + 2 * 4 * 8


def test_the_mode_is_train_and_double_precision_keeps_twice() -> None:
    model, images = nn.Sequential(nn.Linear(7, 11), nn.BatchNorm1d(11), nn.Linear(11, 5)), batch(7)
    single = saved_bytes(model.eval(), images)
    assert model.training
    exact = Split(images.inputs.double(), images.targets)
    assert saved_bytes(model.double(), exact) == pytest.approx(2 * single, abs=16)


class Slow(nn.Linear):
    def forward(self, input):
        time.sleep(0.02)
        return super().forward(input)


def test_the_slower_model_takes_longer_and_both_are_trained() -> None:
    models = {"quick": nn.Linear(7, 5), "slow": Slow(7, 5)}
    before = {name: model.weight.clone() for name, model in models.items()}
    seconds = step_seconds(models, batch(7), rounds=3)
    assert list(seconds) == ["quick", "slow"]
    assert seconds["slow"] > 0.02
    assert seconds["quick"] < seconds["slow"]
    assert not any(torch.equal(model.weight, before[name]) for name, model in models.items())


def test_no_round_is_refused() -> None:
    with pytest.raises(ValueError, match="rounds is 0: time at least 1 step"):
        step_seconds({"one": nn.Linear(7, 5)}, batch(7), rounds=0)
