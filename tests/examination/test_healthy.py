"""Ten networks in good health, and that nothing above a note is found in any."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import bnlab
from bnlab import data, models
from bnlab.examination import examine
from bnlab.training import accuracy, fit
from bnlab.training.repeatable import exactly

FLAT, PICTURES = data.digits(flat=True), data.digits()


def trained(model, digits=FLAT, epochs=3, batch_size=64, **settings):
    """As one trains: with a learning rate that falls, so that the statistics settle."""
    steps = epochs * (len(digits.train.targets) // batch_size)
    fit(
        model,
        digits,
        epochs=epochs,
        batch_size=batch_size,
        schedule=lambda optimizer: CosineAnnealingLR(optimizer, steps),
        progress=False,
        **settings,
    )
    return model, digits


def counting_all(features):
    return nn.BatchNorm1d(features, momentum=None)


def frozen():
    model, digits = trained(models.mlp(64, bnlab.BatchNorm1d))
    bnlab.freeze(model)
    return trained(model, digits, epochs=1, lr=0.01)


def recalibrated():
    model, digits = trained(models.mlp(64, nn.BatchNorm1d), epochs=2)
    return bnlab.recalibrate(model, digits.train.inputs.split(64)), digits


def with_dropout():
    return trained(
        nn.Sequential(
            nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
        )
    )


HEALTHY = {
    "mlp, torch's norms": lambda: trained(models.mlp(64, nn.BatchNorm1d)),
    "mlp, our norms": lambda: trained(models.mlp(64, bnlab.BatchNorm1d)),
    "convolution": lambda: trained(
        models.conv_net(nn.BatchNorm2d, in_channels=1, size=8), PICTURES, epochs=2
    ),
    "residual": lambda: trained(
        models.residual_net(bnlab.BatchNorm2d, blocks=1), PICTURES, epochs=4
    ),
    "weight decay": lambda: trained(models.deep_mlp(norm=nn.BatchNorm1d), weight_decay=1e-3),
    "float64": lambda: trained(models.mlp(64, nn.BatchNorm1d).double(), exactly(FLAT)),
    "momentum=None": lambda: trained(models.mlp(64, counting_all), epochs=6),
    "batches of 16": lambda: trained(models.mlp(64, nn.BatchNorm1d), batch_size=16, epochs=2),
    "group norm": lambda: trained(models.mlp(64, lambda features: nn.GroupNorm(4, features))),
    "layer norm": lambda: trained(models.mlp(64, bnlab.LayerNorm)),
    "frozen": frozen,
    "recalibrated": recalibrated,
    "dropout": with_dropout,
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_network_has_notes_at_most(name):
    model, digits = HEALTHY[name]()
    # Healthy is who answers in eval mode as well as with statistics of all training data.
    best = copy.deepcopy(model)
    if name not in ("group norm", "layer norm", "frozen"):
        bnlab.recalibrate(best, digits.train.inputs.split(256))
    assert accuracy(model, digits.test) > max(0.85, accuracy(best, digits.test) - 0.04)
    for mode, batches in (
        (True, None),
        (True, digits.train.inputs.split(64)),
        (False, None),
        (False, digits.test.inputs.split(16)),
    ):
        examination = examine(model.train(mode), batches)
        assert examination, examination
    assert examine(model.state_dict())


def test_a_network_before_its_first_batch_is_not_called_healthy():
    """The control: what passes above would not pass untrained."""
    torch.manual_seed(0)
    assert examine(models.mlp(64, nn.BatchNorm1d), FLAT.test.inputs.split(64)).errors
