"""How steady a layer's inputs are, held against numbers taken by hand."""

from functools import partial

import pytest
import torch
from torch import nn

from bnlab import BatchNorm1d, data, models
from bnlab.experiments.stability import watch_training
from bnlab.training import fit_repeatably

DIGITS = data.digits(flat=True)
SETTINGS = {"epochs": 1, "batch_size": 64, "lr": 0.05, "progress": False}


def test_measures_agree_with_inputs_kept_by_a_hook() -> None:
    kept: list[torch.Tensor] = []

    def build() -> nn.Module:
        model = models.mlp(64)

        def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if module.training:
                kept.append(inputs[0].detach().clone())

        _ = model.relu2.register_forward_pre_hook(keep)
        return model

    fit_repeatably(build, DIGITS, **SETTINGS)
    seen = watch_training(partial(models.mlp, 64), DIGITS, "relu2", unit=3, **SETTINGS)
    inputs = torch.stack(kept)  # (T, N, C)
    mean, std = inputs.mean(1), inputs.std(1, correction=0)
    size = std.square().mean(0)
    shift = (mean.diff(dim=0).square() / size).mean().sqrt().item()
    stretch = (std.diff(dim=0).square() / size).mean().sqrt().item()
    smooth = torch.stack([mean[at : at + 10].mean(0) for at in range(len(mean) - 9)])
    travel = ((smooth.amax(0) - smooth.amin(0)).square() / size).mean().sqrt().item()
    assert (seen.shift, seen.stretch, seen.travel) == pytest.approx((shift, stretch, travel))
    shares = torch.tensor([0.15, 0.5, 0.85], dtype=torch.float64)
    expected = torch.quantile(inputs[:, :, 3], shares, dim=1).T
    assert torch.allclose(seen.percentiles, expected)


def test_batch_norm_without_beta_keeps_means_in_their_place() -> None:
    build = partial(models.mlp, 64, partial(BatchNorm1d, affine=False))
    seen = watch_training(build, DIGITS, "relu1", **SETTINGS)
    assert seen.shift < 1e-6
    assert seen.travel < 1e-6


def test_the_training_is_the_repeatable_one() -> None:
    build = partial(models.mlp, 64)
    _, history = fit_repeatably(build, DIGITS, seed=1, **SETTINGS)
    seen = watch_training(build, DIGITS, "relu1", seed=1, **SETTINGS)
    assert seen.loss.tolist() == pytest.approx(history.loss)
    assert seen.test_accuracy.tolist() == pytest.approx(history.test_accuracy)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ValueError, match="relu9"):
        watch_training(partial(models.mlp, 64), DIGITS, "relu9", **SETTINGS)
