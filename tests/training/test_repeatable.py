"""Rounding errors of another machine leave no trace in a training."""

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.training import fit
from bnlab.training.repeatable import DECIMALS, fit_repeatably


@pytest.fixture(scope="module")
def digits():
    whole = data.digits(flat=True)
    few = data.Split(whole.train.inputs[:160], whole.train.targets[:160])
    return data.Dataset(few, whole.test, whole.classes)


def noisy(seed: int) -> nn.Module:
    """The perceptron on a machine that rounds otherwise: its sums are off in the last bits."""
    model = models.mlp(64, nn.BatchNorm1d)
    draw = torch.Generator().manual_seed(seed)

    def disturb(_, __, output):
        noise = torch.randn(output.shape, dtype=torch.float64, generator=draw)
        return output * (1 + 4e-16 * noise)

    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(disturb)
    return model


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_batches_of_two_end_the_same_on_a_machine_that_rounds_otherwise(digits):
    ran = [
        fit_repeatably(build, digits, epochs=1, batch_size=2, lr=0.01, progress=False)
        for build in (lambda: models.mlp(64, nn.BatchNorm1d), lambda: noisy(1), lambda: noisy(2))
    ]
    first, *others = (weights(model) for model, _ in ran)
    assert all(torch.equal(first, other) for other in others)
    assert all(history.test_accuracy == ran[0][1].test_accuracy for _, history in ran)


def test_without_the_rounding_they_part_ways(digits):
    exact = data.Dataset(
        *(data.Split(s.inputs.double(), s.targets) for s in (digits.train, digits.test)),
        digits.classes,
    )
    ended = []
    for build in (lambda: models.mlp(64, nn.BatchNorm1d), lambda: noisy(1)):
        model, _ = fit_repeatably(build, digits, epochs=1, batch_size=80, lr=0.0, progress=False)
        fit(model, exact, epochs=1, batch_size=2, lr=0.01, progress=False)
        ended.append(weights(model))
    assert not torch.equal(*ended)


def test_torch_and_bnlab_give_the_same_bits(digits):
    ended = [
        fit_repeatably(
            lambda norm=norm: models.mlp(64, norm), digits, epochs=1, batch_size=8, progress=False
        )[0]
        for norm in (nn.BatchNorm1d, bnlab.BatchNorm1d)
    ]
    assert torch.equal(*map(weights, ended))


def test_weights_are_rounded_float64_and_nothing_else_is_touched(digits):
    before = torch.get_rng_state()
    model, history = fit_repeatably(
        lambda: models.mlp(64), digits, epochs=2, batch_size=32, progress=False
    )
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_default_dtype() is torch.float32
    ended = weights(model)
    assert ended.dtype is torch.float64
    assert torch.equal(ended, ended.round(decimals=DECIMALS))
    assert len(history.loss) == 10


def test_the_seed_draws_the_weights(digits):
    one, same, other = (
        fit_repeatably(lambda: models.mlp(64), digits, seed=seed, epochs=1, lr=0.0, progress=False)[
            0
        ]
        for seed in (0, 0, 1)
    )
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


def test_the_default_dtype_comes_back_after_an_error(digits):
    def broken():
        raise RuntimeError("no model today")

    with pytest.raises(RuntimeError, match="no model today"):
        fit_repeatably(broken, digits)
    assert torch.get_default_dtype() is torch.float32
