"""Pressing gammas down, ranking units by them, cutting them away."""

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.data import Split
from bnlab.experiments.pruning import ORDERS, penalise, prune, prune_stepwise, remove_silent


def trained_alike(norm=nn.BatchNorm1d) -> nn.Sequential:
    """An mlp whose norms have drawn gammas, betas and statistics, in eval mode."""
    torch.manual_seed(0)
    model = models.mlp(20, norm).double().eval()
    for layer in (model.norm1, model.norm2):
        for tensor in (layer.weight.data, layer.bias.data, layer.running_mean):
            tensor.normal_()
        layer.running_var.uniform_(0.5, 2)
    return model


INPUTS = data.synthetic((64, 20)).double()


def silent(norm: nn.Module) -> set[int]:
    return set(((norm.weight == 0) & (norm.bias == 0)).nonzero().flatten().tolist())


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, bnlab.BatchNorm1d])
@pytest.mark.parametrize("order", ORDERS)
def test_the_right_units_of_every_norm_fall_silent(norm, order):
    model = trained_alike(norm)
    cut = prune(model, 0.25, order)
    for name, count in (("norm1", 32), ("norm2", 16)):
        sizes = model.get_submodule(name).weight.abs()
        gone = silent(cut.get_submodule(name))
        assert len(gone) == count
        if order == "smallest first":
            assert gone == set(sizes.topk(count, largest=False).indices.tolist())
        if order == "largest first":
            assert gone == set(sizes.topk(count).indices.tolist())
    assert not silent(model.norm1)


def test_silent_units_give_nothing_and_can_be_removed():
    model = trained_alike()
    cut = prune(model, 0.5, "at random", seed=1)
    hidden = cut.relu1(cut.norm1(cut.linear1(INPUTS)))
    assert set((hidden == 0).all(0).nonzero().flatten().tolist()) >= silent(cut.norm1)
    smaller = remove_silent(cut)
    assert smaller.linear2.weight.shape == (32, 64)
    torch.testing.assert_close(smaller(INPUTS), cut(INPUTS))
    assert not torch.allclose(cut(INPUTS), model(INPUTS))
    assert cut.linear1.out_features == 128


def test_chance_is_the_seeds_and_stays_with_those_already_cut():
    model = trained_alike()
    few, many = (silent(prune(model, share, "at random", seed=5).norm1) for share in (0.2, 0.6))
    assert few < many
    assert silent(prune(model, 0.2, "at random", seed=6).norm1) != few


def test_steps_are_the_accuracies_of_the_pruned_networks():
    model = trained_alike()
    split = Split(INPUTS, model(INPUTS).argmax(1))
    steps = prune_stepwise(model, split, [0.0, 0.3, 1.0], seed=2)
    for order, curve in zip(ORDERS, (steps.smallest, steps.random, steps.largest), strict=True):
        answers = prune(model, 0.3, order, 2)(INPUTS).argmax(1)
        expected = (answers == split.targets).double().mean().item()
        assert curve[0] == 1
        assert curve[1].item() == pytest.approx(expected)
    assert torch.equal(steps.gamma.sort().values, steps.gamma)
    assert len(steps.gamma) == 192


def test_the_penalty_adds_its_sign_to_the_gradient_of_gamma_only():
    plain = trained_alike().train()
    pressed = penalise(trained_alike().train(), 0.3)
    for model in (plain, pressed):
        nn.functional.cross_entropy(model(INPUTS), torch.arange(64) % 10).backward()
    for (name, one), other in zip(plain.named_parameters(), pressed.parameters(), strict=True):
        extra = 0.3 * one.detach().sign() if name in ("norm1.weight", "norm2.weight") else 0
        torch.testing.assert_close(other.grad, one.grad + extra)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prune(trained_alike(), 1.2), "share is between 0 and 1"),
        (lambda: prune(trained_alike(), 0.5, "by luck"), "order is one of smallest first"),
        (lambda: prune(models.mlp(20), 0.5), "no batch norm"),
        (lambda: penalise(trained_alike(), -1), "strength is -1"),
        (lambda: remove_silent(prune(trained_alike(), 1)), "no unit left"),
        (lambda: remove_silent(nn.Sequential(nn.BatchNorm1d(3))), "between two linear layers"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
