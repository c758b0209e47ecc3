"""What scaling and weight decay do to weights that a norm follows."""

from functools import partial

import pytest
import torch

from bnlab import BatchNorm1d, data, models
from bnlab.data import Split
from bnlab.experiments.scale_invariance import rescale_weights, watch_turning
from bnlab.training import fit_repeatably

DIGITS = data.digits(flat=True)
BATCH = Split(DIGITS.train.inputs[:64].double(), DIGITS.train.targets[:64])
NAMES = ["linear1.weight", "linear2.weight"]
EXACT = partial(BatchNorm1d, eps=1e-30)


@pytest.mark.parametrize("scale", [2.0**-8, 0.3, 7.0, 2.0**8])
def test_a_norm_makes_outputs_blind_to_the_scale_and_the_gradient_inverse(scale: float) -> None:
    torch.manual_seed(0)
    model = models.mlp(64, EXACT).double()
    once, scaled = (rescale_weights(model, BATCH, NAMES, a) for a in (1.0, scale))
    assert torch.allclose(scaled.outputs, once.outputs, rtol=0, atol=1e-10)
    assert torch.allclose(scaled.gradient * scale, once.gradient, rtol=0, atol=1e-10)


def test_without_a_norm_the_scale_shows() -> None:
    torch.manual_seed(0)
    model = models.mlp(64).double()
    once, scaled = (rescale_weights(model, BATCH, NAMES, a) for a in (1.0, 2.0))
    assert (scaled.outputs - once.outputs).abs().max() > 0.1


def test_the_gradient_is_that_of_the_scaled_model_which_stays_as_it_is() -> None:
    torch.manual_seed(0)
    model = models.mlp(64, BatchNorm1d).double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = rescale_weights(model, BATCH, NAMES, 3.0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        for name in NAMES:
            model.get_parameter(name).mul_(3.0)
    outputs = model(BATCH.inputs)
    torch.nn.functional.cross_entropy(outputs, BATCH.targets).backward()
    gradient = torch.cat([model.get_parameter(name).grad.flatten() for name in NAMES])
    assert torch.allclose(seen.outputs, outputs)
    assert torch.allclose(seen.gradient, gradient)


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(ValueError, match=r"'linear9\.weight'; there are linear1.weight"):
        rescale_weights(models.mlp(64).double(), BATCH, ["linear9.weight"], 2.0)


def test_length_and_angle_are_those_of_the_weights() -> None:
    build, settings = partial(models.mlp, 64, BatchNorm1d), {"seed": 1, "progress": False}
    seen = watch_turning(build, DIGITS, NAMES, weight_decay=0.05, lr=0.1, epochs=1, **settings)
    lengths = []

    def optimizer(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        matrices = [p for p in parameters if p.dim() > 1][:2]
        others = [p for p in parameters if all(p is not matrix for matrix in matrices)]
        groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others}]
        sgd = torch.optim.SGD(groups, lr=0.1)
        sgd.register_step_pre_hook(lambda *_: lengths.append(matrices[0].norm().item()))
        return sgd

    fit_repeatably(build, DIGITS, epochs=1, optimizer=optimizer, **settings)
    assert seen.norm.tolist() == pytest.approx(lengths, rel=1e-4)
    assert (seen.angle > 0).all()
    assert (seen.angle < 0.5).all()


def test_decay_shortens_and_turns_further() -> None:
    build = partial(models.mlp, 64, BatchNorm1d)
    settings = {"epochs": 2, "progress": False, "lr": 0.1}
    without, strong = (
        watch_turning(build, DIGITS, NAMES, weight_decay=decay, **settings) for decay in (0.0, 0.1)
    )
    assert without.norm[-1] > without.norm[0] > strong.norm[-1]
    assert strong.angle[-10:].mean() > without.angle[-10:].mean()
