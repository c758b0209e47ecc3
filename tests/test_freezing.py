"""A frozen norm: no batch and no step moves it, whatever mode the model is put in."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import bnlab
from bnlab import models
from bnlab.freezing import is_frozen

NORMS = [
    nn.BatchNorm1d(8),
    bnlab.BatchNorm1d(8),
    nn.SyncBatchNorm(8),
    nn.BatchNorm1d(8, affine=False),
    bnlab.BatchNorm1d(8, bias=False),
    nn.InstanceNorm1d(8, affine=True, track_running_stats=True),
    bnlab.InstanceNorm1d(8, track_running_stats=True),
]


@pytest.fixture(autouse=True)
def same_numbers_each_time():
    torch.manual_seed(0)


def network(norm=bnlab.BatchNorm2d):
    """Norms in a chain and in residual branches, after some batches of training."""
    model = models.residual_net(norm, blocks=1)
    for _ in range(3):
        model(torch.randn(8, 1, 8, 8)).sum().backward()
    model.zero_grad()
    return model


def norms_of(model):
    return {name: m for name, m in model.named_modules() if "norm" in name.rpartition(".")[2]}


def state_of(model):
    return copy.deepcopy(model.state_dict())


def train_steps(model, optimizer=None, steps=3):
    optimizer = optimizer or torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1
    )
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 1, 8, 8)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, bnlab.BatchNorm2d])
def test_training_moves_everything_but_the_frozen_norms(norm):
    model = network(norm)
    assert bnlab.freeze(model) is model
    before = state_of(model)
    train_steps(model.train())
    assert model.training
    frozen = norms_of(model)
    assert len(frozen) == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == (name.rpartition(".")[0] in frozen), name


def test_frozen_gradients_only_are_not_frozen_statistics():
    """What freezing is for: requires_grad=False alone leaves the statistics moving."""
    model = network()
    for norm in norms_of(model).values():
        norm.requires_grad_(False)
    before = state_of(model)
    train_steps(model.train())
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert {"norm.running_mean", "norm.running_var"} <= moved
    assert "norm.weight" not in moved


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: f"{norm.__module__}.{norm}")
def test_every_kind_answers_as_in_eval_mode_and_stays(norm):
    layer = copy.deepcopy(norm)
    layer.running_mean.normal_()
    model = nn.Sequential(nn.Conv1d(3, 8, 1), layer)
    batch = torch.randn(4, 3, 5)
    expected, before = model.eval()(batch), state_of(model)
    bnlab.freeze(model)
    for mode in (True, False):
        torch.testing.assert_close(model.train(mode)(batch), expected)
        torch.testing.assert_close(layer.train(mode)(model[0](batch)), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert repr(layer).endswith("frozen)")
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_only_norms_that_move_by_the_batch_are_frozen():
    model = nn.Sequential(
        nn.BatchNorm2d(4),
        nn.InstanceNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.LayerNorm(4),
        nn.Conv2d(4, 4, 1),
    )
    assert [is_frozen(layer) for layer in bnlab.freeze(model).train()] == [True] + 4 * [False]
    assert all(layer.training for layer in model[1:])
    assert all(p.requires_grad for layer in model[1:] for p in layer.parameters())


def test_any_model_around_it_lets_it_be():
    inner = bnlab.freeze(network())
    outer = nn.ModuleDict({"features": inner, "head": nn.BatchNorm1d(10)})
    outer.train()
    assert outer["head"].training
    assert not any(norm.training for norm in norms_of(inner).values())


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_copies_are_frozen_on_their_own(way):
    model = bnlab.freeze(network())
    if way == "deepcopy":
        twin = copy.deepcopy(model)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    before = state_of(twin)
    train_steps(twin.train())
    for name in norms_of(twin):
        assert torch.equal(twin.get_submodule(name).running_var, before[f"{name}.running_var"])
    bnlab.unfreeze(twin)
    assert twin.norm.training
    assert twin.norm.weight.requires_grad
    assert is_frozen(model.norm)
    assert not model.norm.weight.requires_grad
    assert model.norm.train() is model.norm


def test_state_dicts_know_nothing_of_it():
    model, frozen = network(), bnlab.freeze(network())
    assert list(frozen.state_dict()) == list(model.state_dict())
    frozen.load_state_dict(pickle.loads(pickle.dumps(model.state_dict())))
    assert is_frozen(frozen.norm)
    assert torch.equal(frozen.norm.running_mean, model.norm.running_mean)
    model.load_state_dict(frozen.state_dict())
    assert model.norm.train().training


def test_converting_keeps_it_frozen():
    model = bnlab.convert(bnlab.freeze(network(nn.BatchNorm2d))).train()
    assert type(model.norm) is bnlab.BatchNorm2d
    assert is_frozen(model.norm)
    assert not model.norm.training


def test_unfreezing_gives_back_flags_and_mode():
    model = network()
    model.norm.bias.requires_grad_(False)
    assert bnlab.unfreeze(bnlab.freeze(bnlab.freeze(model))) is model
    assert model.norm.weight.requires_grad
    assert not model.norm.bias.requires_grad
    assert all(norm.training for norm in norms_of(model).values())
    assert "frozen" not in repr(model)
    before = state_of(model)
    train_steps(model)
    assert not torch.equal(model.norm.running_mean, before["norm.running_mean"])
    assert not torch.equal(model.norm.weight, before["norm.weight"])
    # Nothing is left to undo.
    assert bnlab.unfreeze(model.eval()).norm.training is False


@pytest.mark.parametrize("mode", [True, False])
def test_the_mode_is_that_of_the_model_meanwhile(mode):
    model = bnlab.freeze(network()).train(mode)
    assert bnlab.unfreeze(model).norm.training is mode
    alone = bnlab.freeze(nn.BatchNorm1d(3).train(mode))
    assert not alone.training
    assert bnlab.unfreeze(alone).training is mode


def test_a_shared_parameter_gets_back_its_gradient():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    model[1].weight = model[0].weight
    assert bnlab.unfreeze(bnlab.freeze(model))[1].weight.requires_grad


def test_a_parametrised_weight_is_frozen_where_it_lies():
    layer = nn.BatchNorm1d(3)
    nn.utils.parametrize.register_parametrization(layer, "weight", nn.Softplus())
    bnlab.freeze(layer)(torch.randn(4, 3))
    assert not layer.weight.requires_grad
    assert bnlab.unfreeze(layer).weight.requires_grad


def test_a_part_is_frozen_alone():
    model = network()
    bnlab.freeze(model.block1)
    assert [is_frozen(norm) for norm in norms_of(model).values()] == [False, True, True]
    bnlab.freeze(model)
    bnlab.unfreeze(model.block1)
    assert [is_frozen(norm) for norm in norms_of(model).values()] == [True, False, False]


def test_a_gradient_that_waits_moves_nothing():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train_steps(model, optimizer, steps=1)
    model(torch.randn(8, 1, 8, 8)).square().mean().backward()
    before = bnlab.freeze(model).norm.weight.clone()
    optimizer.step()
    assert torch.equal(model.norm.weight, before)


def test_norms_without_statistics_are_refused_and_nothing_is_frozen():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(ValueError, match="1: no running statistics"):
        bnlab.freeze(model)
    assert not is_frozen(model[0])
    assert model[0].training
    assert model[0].weight.requires_grad


@pytest.mark.parametrize("function", [bnlab.freeze, bnlab.unfreeze])
def test_what_is_no_module_is_refused(function):
    with pytest.raises(TypeError, match="pass the model itself"):
        function([nn.BatchNorm1d(3)])
