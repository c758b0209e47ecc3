"""What tensors alone show: planted in a model and in its state dict, found in the right layer."""

import copy

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.examination import Examination, examine

DIGITS = data.digits(flat=True)


def seen(norm=nn.BatchNorm1d, batches: int = 40) -> nn.Module:
    """A network whose running statistics have seen digits, with gammas and betas of its own."""
    torch.manual_seed(0)
    model = models.mlp(64, norm)
    for _ in range(batches):
        model(DIGITS.train.inputs[torch.randint(1347, (64,))])
    for module in (model.norm1, model.norm2):
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.normal_(module.bias)
    return model.eval()


HEALTHY = seen()


def kinds(examination: Examination) -> set[tuple[str, str, str]]:
    return {(each.severity, each.kind, each.layer) for each in examination.findings}


def planted(plant):
    model = copy.deepcopy(HEALTHY)
    with torch.no_grad():
        plant(model.norm2)
    return model


def never(norm):
    norm.reset_running_stats()


def half_new(norm):
    norm.running_mean.zero_()


def nan(norm):
    norm.running_mean[[3, 5]] = torch.nan


def infinite(norm):
    norm.running_var[[3, 5]] = torch.inf


def nan_gamma(norm):
    norm.weight[[3, 5]] = torch.nan


def negative(norm):
    norm.running_var[[3, 5]] = -0.1


def collapsed(norm):
    norm.running_var[[3, 5]] = 1e-9
    norm.running_mean[[3, 5]] = 0.4


def dead(norm):
    norm.weight[[3, 5]] = 0


def dead_all(norm):
    norm.weight.zero_()


def half(norm):
    norm.running_mean = norm.running_mean.half()


def uncounted(norm):
    norm.num_batches_tracked.zero_()


DEFECTS = [
    (never, "error", "never-updated", ()),
    (half_new, "error", "never-updated", ()),
    (nan, "error", "not-finite", (3, 5)),
    (infinite, "error", "not-finite", (3, 5)),
    (nan_gamma, "error", "not-finite", (3, 5)),
    (negative, "error", "negative-variance", (3, 5)),
    (collapsed, "warning", "collapsed-variance", (3, 5)),
    (dead, "note", "dead-gamma", (3, 5)),
    (dead_all, "warning", "dead-gamma", tuple(range(64))),
    (half, "warning", "half-precision-statistics", ()),
    (uncounted, "note", "counter-zero", ()),
]


@pytest.mark.parametrize("whole", [True, False], ids=["model", "state dict"])
@pytest.mark.parametrize(("plant", "severity", "kind", "channels"), DEFECTS)
def test_a_planted_defect_is_found_alone_and_in_its_layer(plant, severity, kind, channels, whole):
    model = planted(plant)
    found = examine(model if whole else model.state_dict())
    before = kinds(examine(HEALTHY if whole else HEALTHY.state_dict()))
    assert kinds(found) - before == {(severity, kind, "norm2")}
    (finding,) = (each for each in found.findings if each.kind == kind)
    assert finding.channels == channels


def test_healthy_networks_have_notes_at_most():
    assert {severity for severity, *_ in kinds(examine(HEALTHY))} == {"note"}
    assert not examine(HEALTHY.state_dict()).findings
    assert examine(HEALTHY)


@pytest.mark.parametrize("norm", [bnlab.BatchNorm1d, nn.SyncBatchNorm])
def test_other_norms_are_looked_at_too(norm):
    model = nn.Sequential(nn.Linear(2, 3), norm(3))
    assert ("error", "never-updated", "1") in kinds(examine(model))
