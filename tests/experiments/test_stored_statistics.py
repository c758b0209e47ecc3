"""What rounding keeps from the running statistics."""

import copy

import pytest
import torch
from torch import nn

from bnlab import data, models
from bnlab.experiments.stored_statistics import store_statistics

DIGITS = data.digits(flat=True)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.mlp(64, nn.BatchNorm1d)


def test_float32_follows_torchs_running_statistics(model):
    stored = store_statistics(model, DIGITS, torch.float32, momentum=0.2, steps=7, batch_size=100)
    values = model.linear1(DIGITS.train.inputs).detach()
    norm, order = nn.BatchNorm1d(128, momentum=0.2), torch.Generator().manual_seed(0)
    for rows in torch.randperm(len(values), generator=order).split(100)[:7]:
        norm(values[rows])
    off = (norm.running_mean - values.mean(0)) / values.std(0, correction=0)
    torch.testing.assert_close(stored.mean_error[-1], off.square().mean().sqrt(), rtol=1e-4, atol=0)
    off = (norm.running_var / values.var(0, correction=0)).sqrt() - 1
    torch.testing.assert_close(stored.std_error[-1], off.square().mean().sqrt(), rtol=1e-4, atol=0)
    assert (stored.dtype, stored.lost) == ("float32", 0)


def test_bfloat16_loses_what_is_below_half_a_unit(model):
    """From 1, an update towards a variance of about 0.1 is lost where m times it is below 2^-9."""
    lost = {
        momentum: store_statistics(model, DIGITS, torch.bfloat16, momentum=momentum, steps=60)
        for momentum in (0.1, 0.001)
    }
    assert lost[0.1].lost < 0.2 < 0.5 < lost[0.001].lost
    assert lost[0.001].std_error.diff().abs().max() < 1e-6 < lost[0.001].std_error.min()
    assert lost[0.1].mean_error[-1] < 0.1


def test_the_model_stays_as_it_is(model):
    before = copy.deepcopy(model.state_dict())
    store_statistics(model, DIGITS, torch.float16, steps=3)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.norm1._forward_pre_hooks
