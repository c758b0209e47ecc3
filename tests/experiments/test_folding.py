"""What the experiment says of a folded model is so."""

import time

import pytest
import torch
from torch import nn

from bnlab import models
from bnlab.experiments.folding import answer_times, fold_and_measure


def trained(norm_last=False):
    torch.manual_seed(0)
    model = models.mlp(64, nn.BatchNorm1d, norm_last=norm_last)
    model(torch.rand(32, 64))
    return model.eval()


def test_a_folded_network_answers_the_same():
    model, batch = trained(), torch.rand(16, 64)
    found = fold_and_measure(model, batch, rounds=5)
    with torch.no_grad():
        outputs, folded = model(batch), found.model(batch)
    assert found.gap == pytest.approx((outputs - folded).abs().max().item())
    assert found.gap < 1e-5 < found.largest == outputs.abs().max()
    assert (found.changed, len(found.plan.folded)) == (0, 2)
    assert found.share == found.after / found.before > 0


def test_norms_that_stay_change_nothing():
    found = fold_and_measure(trained(norm_last=True), torch.rand(16, 64), rounds=1)
    assert (found.gap, len(found.plan.kept)) == (0, 2)


class Sleeper(nn.Module):
    def __init__(self, ms):
        super().__init__()
        self.ms = ms

    def forward(self, batch):
        time.sleep(self.ms / 1000)
        return batch


def test_times_are_medians_in_milliseconds():
    taken = answer_times({"long": Sleeper(20), "short": Sleeper(2)}, torch.zeros(1), rounds=3)
    assert taken["long"] >= 20
    assert taken["long"] > taken["short"] >= 2
    with pytest.raises(ValueError, match="at least 1"):
        answer_times({}, torch.zeros(1), rounds=0)
