"""Settings, modes and places: what is found without a batch, and what is meant to be so."""

import copy

import pytest
import torch
from torch import nn

import bnlab
from bnlab.examination import examine


def network(norm=nn.BatchNorm1d):
    """Two norms that have seen enough; in train mode, as it was built."""
    model = nn.Sequential(nn.Linear(4, 8, bias=False), norm(8), nn.ReLU(), nn.Linear(8, 8), norm(8))
    for _ in range(40):
        model(torch.randn(16, 4)).sum().backward()
    return model


def found(model, *batches, **settings):
    worse = examine(model, *batches, **settings).findings
    return [(f.severity, f.kind, f.layer) for f in worse]


def worse_than_notes(model):
    return [each for each in found(model) if each[0] != "note"]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, bnlab.BatchNorm1d])
@pytest.mark.parametrize(
    ("momentum", "expected"),
    [
        (0.01, None),
        (0.5, None),
        (None, None),
        (0.0, ("warning", "momentum-zero", "4")),
        (0.9, ("warning", "momentum-like-keras", "4")),
        (0.999, ("warning", "momentum-like-keras", "4")),
        (1.0, ("warning", "momentum-one", "4")),
        (1, ("warning", "momentum-one", "4")),
        (-0.1, ("error", "momentum-out-of-range", "4")),
        (1.1, ("error", "momentum-out-of-range", "4")),
        (float("nan"), ("error", "momentum-out-of-range", "4")),
    ],
)
def test_momenta(norm, momentum, expected):
    model = network(norm)
    model[4].momentum = momentum
    # After 40 updates with 0.01, most of the statistics would be the start.
    model[4].num_batches_tracked.fill_(1000)
    assert worse_than_notes(model) == ([expected] if expected else [])


def test_the_remedy_for_a_keras_momentum_is_the_other_convention():
    model = network()
    model[4].momentum = 0.99
    finding = next(f for f in examine(model).findings if f.kind == "momentum-like-keras")
    assert "momentum=0.01" in finding.remedy
    assert finding.evidence["momentum"] == 0.99


@pytest.mark.parametrize(("updates", "young"), [(5, True), (21, True), (22, False), (40, False)])
def test_too_few_updates_are_counted_by_what_is_left_of_the_start(updates, young):
    norm = nn.BatchNorm1d(8)
    for _ in range(updates):
        norm(torch.randn(16, 8) * 3)
    kinds = [f.kind for f in examine(norm).findings if f.severity == "warning"]
    assert kinds == (["too-few-updates"] if young else [])
    if young:
        share = examine(norm).warnings[0].evidence["share_of_start"]
        assert share == pytest.approx(0.9**updates)


def test_few_batches_are_enough_where_the_start_is_gone():
    # A variance below what is left of the 1 was not averaged from it, but measured or loaded.
    norm = nn.BatchNorm1d(8)
    bnlab.recalibrate(norm, [torch.randn(16, 8) / 3])
    assert norm.num_batches_tracked == 1
    assert not examine(norm).warnings


def test_frozen_is_no_mistake_and_half_frozen_is():
    model = bnlab.freeze(network())
    assert [each[1] for each in found(model)] == ["frozen-statistics"]
    assert not examine(bnlab.unfreeze(model).train()).warnings
    half = network()
    half[1].requires_grad_(False)
    assert worse_than_notes(half) == [("warning", "frozen-but-moving", "1")]
    half[1].eval()
    assert worse_than_notes(half) == []


def test_modes_that_differ():
    model = network()
    model[1].eval()
    assert worse_than_notes(model) == [("warning", "mixed-modes", "1")]
    model.eval()[4].train()
    assert worse_than_notes(model) == [("warning", "mixed-modes", "4")]
    dropping = nn.Sequential(network(), nn.Dropout()).eval()
    dropping[1].train()
    assert worse_than_notes(dropping) == [("warning", "mixed-modes", "1")]
    # A backbone in eval mode in a new head that is not.
    head = nn.Sequential(network().eval(), nn.Linear(8, 8), nn.BatchNorm1d(8))
    head[2].load_state_dict(head[0][1].state_dict())
    assert worse_than_notes(head) == [
        ("warning", "mixed-modes", "0.1"),
        ("warning", "mixed-modes", "0.4"),
    ]


def test_train_mode_where_nothing_is_trained():
    model = network()
    assert not found(model)[:-1]
    with torch.no_grad():
        assert ("warning", "train-mode", "") in found(model)
    with torch.inference_mode():
        assert ("warning", "train-mode", "") in found(model)
    model.requires_grad_(False)
    assert worse_than_notes(model) == [("warning", "train-mode", "")]
    assert not worse_than_notes(model.eval())
    loaded = copy.deepcopy(network())
    loaded.zero_grad()
    assert ("note", "train-mode", "") in found(loaded)


def test_a_bias_is_idle_right_before_a_norm_only():
    assert found(network()) == [("note", "idle-bias", "3")]
    between = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8))
    nested = nn.Sequential(nn.Sequential(nn.Conv2d(1, 8, 3)), nn.Sequential(nn.BatchNorm2d(8)))
    other = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(3))
    idle = [[f.layer for f in examine(m).notes if f.kind == "idle-bias"] for m in (between, nested)]
    assert idle == [[], ["0.0"]]
    assert not [f for f in examine(other).notes if f.kind == "idle-bias"]


def test_one_norm_under_two_names():
    model = network()
    model[4] = model[1]
    assert ("warning", "shared-norm", "1") in found(model)
    tied = network()
    tied[4].running_mean = tied[1].running_mean
    (finding,) = (f for f in examine(tied).findings if f.kind == "shared-norm")
    assert finding.message.count("1 and 4") == 1
    # Weights may be shared: what is measured is each layer's own.
    weights = network()
    weights[4].weight = weights[1].weight
    assert not worse_than_notes(weights)


def test_accumulation_matters_where_norms_move():
    model = network()
    assert ("warning", "accumulation", "") in found(model, accumulation=4)
    batches = torch.randn(256, 4).split(64)
    assert ("note", "accumulation", "") in found(model, batches, accumulation=4)
    assert ("warning", "accumulation", "") in found(model.eval(), accumulation=4)
    assert "accumulation" not in [e[1] for e in found(bnlab.freeze(model), accumulation=4)]
    with pytest.raises(ValueError, match="at least 1"):
        examine(model, accumulation=0)


def test_norms_without_statistics_are_left_alone():
    for norm in (
        nn.BatchNorm1d(4, track_running_stats=False),
        nn.InstanceNorm1d(4),
        nn.Linear(4, 2),
    ):
        assert not worse_than_notes(norm.eval())
    untracked = nn.BatchNorm1d(4, track_running_stats=False)
    assert found(untracked) == [("note", "no-running-statistics", "")]
    assert not examine(untracked, [torch.randn(64, 4)]).warnings
    half = nn.BatchNorm1d(4)
    half.running_mean = half.running_var = None
    assert worse_than_notes(half) == [("error", "missing-statistics", "")]


class Backbone(nn.Module):
    """A norm as detection models have it: buffers only, no modes."""

    def __init__(self):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(3) + 0.5)

    def forward(self, input):
        scale = self.weight / (self.running_var + 1e-5).sqrt()
        return input * scale + self.bias - self.running_mean * scale


def test_a_foreign_frozen_norm_is_read_and_left_alone():
    model = nn.Sequential(nn.Linear(4, 3), Backbone())
    assert not worse_than_notes(model)
    assert not examine(model, [torch.randn(64, 4)]).warnings
    model[1].running_var[1] = -1
    assert worse_than_notes(model) == [("error", "negative-variance", "1")]


def test_tensors_without_values_are_said_and_passed_over():
    for model in (
        nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d()),
        nn.Sequential(nn.Linear(4, 8, device="meta"), nn.BatchNorm1d(8, device="meta")),
    ):
        assert ("note", "no-values", "") in found(model, [torch.randn(8, 4)])
        assert not worse_than_notes(model)


def test_a_compiled_program_is_refused_with_what_to_examine_instead(recwarn):
    scripted = torch.jit.trace(network().eval(), torch.randn(4, 4))
    for model in (scripted, nn.Sequential(scripted)):
        with pytest.raises(TypeError, match="the model that it was made from"):
            examine(model)
    recwarn.clear()
