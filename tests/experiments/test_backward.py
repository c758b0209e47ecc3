"""The walk along the graph gives autograd's gradient at every node."""

import pytest
import torch
from torch.nn.functional import batch_norm

from bnlab.experiments.backward import walk_backward
from bnlab.functional import moments, normalize, normalize_backward

X = torch.tensor([0.3, -2.0, 5.0, 1.1, 0.0], dtype=torch.float64)
ARRIVING = torch.tensor([1.0, -0.5, 2.0, 0.0, 0.25], dtype=torch.float64)
WEIGHT, BIAS = (torch.tensor(number, dtype=torch.float64) for number in (1.7, -0.4))


def test_the_walk_ends_with_torchs_gradients() -> None:
    moves = walk_backward(X, ARRIVING, WEIGHT, BIAS, eps=1e-3).moves
    inputs = [X[:, None].clone(), WEIGHT[None].clone(), BIAS[None].clone()]
    for tensor in inputs:
        tensor.requires_grad_()
    output = batch_norm(inputs[0], None, None, inputs[1], inputs[2], training=True, eps=1e-3)
    expected = torch.autograd.grad(output, inputs, ARRIVING[:, None])
    for name, gradient in zip(("x", "weight", "bias"), expected, strict=True):
        torch.testing.assert_close(moves[-1].gradients[name].view(-1), gradient.view(-1))


def test_every_node_in_between_has_autograds_gradient() -> None:
    walk = walk_backward(X, ARRIVING, WEIGHT, BIAS)
    x = X.clone().requires_grad_()
    nodes = {"mean": x.mean()}
    nodes["centred"] = x - nodes["mean"]
    nodes["var"] = nodes["centred"].square().mean()
    nodes["rstd"] = (nodes["var"] + 1e-5).rsqrt()
    nodes["x_hat"] = nodes["centred"] * nodes["rstd"]
    output = WEIGHT * nodes["x_hat"] + BIAS
    torch.testing.assert_close(walk.values["y"], output.detach())
    expected = torch.autograd.grad(output, list(nodes.values()), ARRIVING)
    for name, gradient in zip(nodes, expected, strict=True):
        torch.testing.assert_close(walk.moves[-1].gradients[name], gradient)


def test_the_closed_form_is_the_walk_in_one_line() -> None:
    mean, var = moments(X, dim=0)
    rstd = torch.rsqrt(var + 1e-5)
    one_line = normalize_backward(ARRIVING * WEIGHT, normalize(X, mean, var), rstd, dim=0)
    walked = walk_backward(X, ARRIVING, WEIGHT, BIAS).moves[-1].gradients["x"]
    torch.testing.assert_close(walked, one_line)


def test_ten_edges_and_no_gradient_is_used_before_it_is_whole() -> None:
    moves = walk_backward(X, ARRIVING, WEIGHT, BIAS).moves
    assert len({(move.input, move.output) for move in moves}) == len(moves) == 10
    for at, move in enumerate(moves):
        assert move.output not in {later.input for later in moves[at:]}
    assert sum(move.input == "x" for move in moves) == 2
    assert sum(move.input == "centred" for move in moves) == 2


def test_a_move_carries_what_it_adds() -> None:
    before: dict[str, torch.Tensor] = {}
    for move in walk_backward(X, ARRIVING, WEIGHT, BIAS).moves:
        gained = move.gradients[move.input] - before.get(move.input, torch.zeros(()))
        torch.testing.assert_close(gained, move.contribution.expand_as(gained))
        before = dict(move.gradients)


def test_an_even_gradient_leaves_nothing() -> None:
    last = walk_backward(X, torch.ones_like(X), WEIGHT, BIAS).moves[-1]
    torch.testing.assert_close(last.gradients["x"], torch.zeros_like(X), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("x", "arriving", "weight", "message"),
    [
        (X[:1], ARRIVING[:1], WEIGHT, "N at least 2"),
        (X[:, None], ARRIVING[:, None], WEIGHT, "one channel"),
        (X, ARRIVING[:3], WEIGHT, "one channel"),
        (X, ARRIVING, WEIGHT[None], "single numbers"),
    ],
)
def test_what_does_not_fit_is_named(x, arriving, weight, message) -> None:
    with pytest.raises(ValueError, match=message):
        walk_backward(x, arriving, weight, BIAS)
