"""What batches show; and that a model does not notice that it was examined."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import bnlab
from bnlab.examination import examine
from bnlab.training import accuracy


def of_kind(examination, kind):
    return [each for each in examination.findings if each.kind == kind]


def stale(healthy, *layers):
    """Running means two standard deviations off, in some of the layers."""
    model = copy.deepcopy(healthy)
    for layer in layers:
        norm = model.get_submodule(layer)
        with torch.no_grad():
            norm.running_mean += 2 * norm.running_var.sqrt()
    return model


@pytest.mark.parametrize("layers", [("norm1",), ("norm3",), ("norm1", "norm3")])
def test_the_layers_whose_statistics_are_stale_are_named(healthy, digits, layers):
    model = stale(healthy, *layers)
    batches = digits.train.inputs.split(64)
    findings = of_kind(examine(model, batches), "eval-far-from-train")
    assert sorted(each.layer for each in findings) == list(layers)
    for each in findings:
        assert each.severity == "error"
        assert each.channels == tuple(range(64))
        assert 1.5 < each.evidence["mean_off"] < 4


def test_a_single_channel_astray_is_named_though_the_answers_show_little(healthy, digits):
    batches = digits.test.inputs.split(64)
    model = copy.deepcopy(healthy)
    model.norm2.running_mean[5] -= 4 * model.norm2.running_var[5].sqrt()
    (finding,) = examine(model, batches).findings
    assert (finding.severity, finding.kind) == ("warning", "eval-far-from-train")
    assert (finding.layer, finding.channels) == ("norm2", (5,))
    assert 3 < finding.evidence["mean_off"] < 5
    # Of four samples chance may do as much.
    assert not examine(model, batches[0][:4]).warnings


def test_recalibrating_mends_what_it_is_said_to_mend(healthy, digits):
    model = stale(healthy, "norm1")
    batches = digits.train.inputs.split(64)
    finding = of_kind(examine(model, batches), "eval-far-from-train")[0]
    assert finding.evidence["gap"] > 4 * finding.evidence["gap_recalibrated"]
    assert accuracy(model, digits.test) < 0.5
    bnlab.recalibrate(model, batches)
    assert not examine(model, batches).findings
    assert accuracy(model, digits.test) > 0.9


def test_small_batches_are_noise_and_no_reason_to_recalibrate(healthy, digits):
    examination = examine(healthy, digits.train.inputs.split(4))
    (finding,) = examination.findings
    assert (finding.severity, finding.kind) == ("note", "noisy-batches")
    assert "would not change" in finding.message


def test_other_data_are_told_from_the_networks_own(healthy, digits):
    assert not examine(healthy, digits.test.inputs.split(64)).findings
    dark = [1 - batch for batch in digits.test.inputs.split(64)]
    assert of_kind(examine(healthy, dark), "eval-far-from-train")
    # Frozen on purpose: train mode would answer alike.
    assert examine(bnlab.freeze(copy.deepcopy(healthy)), dark)


def snapshot(model):
    return (
        {name: (id(value), value._version) for name, value in model.state_dict().items()},
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [
            (list(module._forward_hooks), list(module._forward_pre_hooks))
            for module in model.modules()
        ],
        [parameter.grad for parameter in model.parameters()],
        (torch.get_rng_state(), random.getstate(), np.random.get_state()),  # noqa: NPY002
    )


def same(one, other):
    assert one[0].keys() == other[0].keys()
    for name, value in one[1].items():
        assert torch.equal(value, other[1][name])
    assert one[2:5] == other[2:5]
    assert torch.equal(one[5][0], other[5][0])
    assert one[5][1] == other[5][1]
    assert one[5][2][1].tolist() == other[5][2][1].tolist()


class Restless(nn.Module):
    """Draws from every generator and counts in a buffer, as some layers do."""

    def __init__(self, fails=False):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.fails = fails

    def forward(self, input):
        self.calls = self.calls + 1
        if self.fails:
            raise RuntimeError("out of order")
        return input + 0 * (torch.rand(1) + random.random() + np.random.rand())  # noqa: NPY002


@pytest.mark.parametrize("fails", [False, True], ids=["answers", "fails"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_model_is_as_it_was(fails, training):
    model = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), Restless(fails), nn.BatchNorm1d(8)
    ).train(training)
    model[4].train(not training)
    model[1].register_forward_hook(lambda *_: None)
    before, buffers = snapshot(model), {n: id(b) for n, b in model.named_buffers()}
    versions = {n: b._version for n, b in model.named_buffers()}
    order = torch.Generator().manual_seed(3)
    data = TensorDataset(torch.randn(256, 4), torch.zeros(256))
    loader = DataLoader(data, batch_size=32, shuffle=True, generator=order)
    state = order.get_state()
    before = snapshot(model)
    failures = of_kind(examine(model, loader), "forward-fails")
    same(before, snapshot(model))
    assert torch.equal(order.get_state(), state)
    # Not put back by writing to them: they were never written to.
    assert {n: id(b) for n, b in model.named_buffers()} == buffers
    assert {n: b._version for n, b in model.named_buffers()} == versions
    assert [each.message for each in failures] == (
        ["The model raises RuntimeError on these batches: out of order"] if fails else []
    )


def test_a_batch_that_does_not_fit_is_a_finding_beside_the_others(healthy):
    model = copy.deepcopy(healthy)
    model.norm2.running_var[3] = -1
    examination = examine(model, [torch.randn(8, 63)])
    assert {each.kind for each in examination.errors} == {"forward-fails", "negative-variance"}
    wrong = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(9))
    assert of_kind(examine(wrong, [torch.randn(8, 4)]), "forward-fails")[0].layer == "1"


def test_no_more_batches_are_read_than_it_takes(healthy):
    stream = iter([torch.rand(100, 64)] * 10)
    examine(healthy, stream)
    assert len(list(stream)) == 7
    small = iter([torch.rand(2, 64)] * 100)
    examine(healthy, small)
    assert len(list(small)) == 36


@pytest.mark.parametrize("make", [tuple, list])
def test_batches_come_in_several_forms(healthy, digits, make):
    inputs, targets = digits.test.inputs[:64], digits.test.targets[:64]
    assert not examine(healthy, [make((inputs, targets))] * 4).findings
    assert not examine(healthy, inputs).findings
    assert not examine(healthy, [inputs.double()]).findings


def test_what_are_no_batches_is_refused(healthy):
    for batches, error in (([], ValueError), ([{"x": 1}], TypeError), (["abc"], TypeError)):
        with pytest.raises(error, match="batch"):
            examine(healthy, batches)
    with pytest.raises(ValueError, match="need a model"):
        examine(healthy.state_dict(), [torch.zeros(2, 64)])
    with pytest.raises(TypeError, match="not int"):
        examine(3)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.rand(65, 64))


@pytest.mark.parametrize(
    ("size", "batch_size", "settings", "expected"),
    [
        (321, 64, {}, [("error", "norm1")]),
        (321, 64, {"drop_last": True}, []),
        (320, 64, {}, []),
        (322, 64, {}, []),
        (5, 1, {}, [("error", "norm1")]),
    ],
)
def test_a_last_batch_of_one_is_foreseen(healthy, digits, size, batch_size, settings, expected):
    model = copy.deepcopy(healthy).train()
    data = TensorDataset(digits.train.inputs[:size], digits.train.targets[:size])
    loader = DataLoader(data, batch_size=batch_size, **settings)
    found = of_kind(examine(model, loader), "one-value-per-channel")
    assert [(each.severity, each.layer) for each in found] == expected
    if expected:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            [model(inputs) for inputs, _ in loader]


def test_a_list_is_looked_up_at_its_end_and_a_stream_is_not(healthy, digits):
    batches = list(digits.train.inputs[:321].split(64))
    assert of_kind(examine(healthy, batches), "one-value-per-channel")[0].severity == "warning"
    assert not of_kind(examine(healthy, iter(batches)), "one-value-per-channel")
    assert not of_kind(examine(healthy, DataLoader(Stream(), batch_size=64)), "one-sample-batch")


def test_pictures_of_one_pixel():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4)
    )
    (finding,) = of_kind(examine(model, [torch.randn(16, 1, 8, 8)]), "one-pixel-map")
    assert (finding.severity, finding.layer) == ("note", "3")
    (finding,) = of_kind(examine(model, [torch.randn(1, 1, 8, 8)]), "one-value-per-channel")
    assert (finding.severity, finding.layer) == ("error", "3")
    # With more than a pixel, one sample has statistics, though its own.
    assert of_kind(examine(model[:2], [torch.randn(1, 1, 8, 8)]), "one-sample-batch")


class Twice(nn.Module):
    """One norm, called on two inputs that are, or are not, alike."""

    def __init__(self, scale):
        super().__init__()
        self.norm, self.scale = nn.BatchNorm1d(4), scale

    def forward(self, input):
        return self.norm(input) + self.norm(input * self.scale)


@pytest.mark.parametrize(("scale", "severity"), [(1.1, "note"), (5.0, "warning")])
def test_a_norm_called_twice_is_judged_by_what_reaches_it(scale, severity):
    model = Twice(scale)
    for _ in range(40):
        model(torch.randn(64, 4))
    (finding,) = of_kind(examine(model, [torch.randn(64, 4)] * 4), "shared-norm")
    assert (finding.severity, finding.layer) == (severity, "norm")
    assert finding.evidence["places"] == 2


class Own(nn.Module):
    """A forward pass of its own, which no chain shows."""

    def __init__(self):
        super().__init__()
        self.straight, self.bent = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, input):
        hidden = self.first(self.straight(input))
        return {"logits": self.second(self.bent(hidden).relu_())}


def test_an_idle_bias_is_seen_in_any_forward_pass():
    model = Own()
    assert not of_kind(examine(model), "idle-bias")
    idle = of_kind(examine(model, [torch.randn(8, 1, 8, 8)]), "idle-bias")
    assert [each.layer for each in idle] == ["straight"]


def test_layers_that_refuse_this_device_in_train_mode_are_measured_all_the_same():
    model = nn.Sequential(nn.Linear(4, 8), nn.SyncBatchNorm(8))
    assert not of_kind(examine(model, [torch.randn(64, 4)]), "forward-fails")
    instance = nn.Sequential(nn.Conv1d(1, 3, 3), nn.InstanceNorm1d(3, track_running_stats=True))
    assert of_kind(examine(instance, [torch.randn(8, 1, 3)]), "one-value-per-channel")
    assert not of_kind(examine(instance, [torch.randn(8, 1, 9)]), "forward-fails")
