"""Batches normalised in groups."""

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.models.ghost import GhostBatches, in_ghost_batches


@pytest.mark.parametrize("library", [nn, bnlab])
@pytest.mark.parametrize(
    ("kind", "shape"), [("BatchNorm1d", (7, 3)), ("BatchNorm2d", (7, 3, 2, 2))]
)
def test_each_group_is_normalised_alone_and_moves_the_statistics_in_turn(library, kind, shape):
    ghost = GhostBatches(getattr(library, kind)(3), 2 if len(shape) > 2 else 4)
    alone = getattr(nn, kind)(3)
    batch = data.synthetic(shape, mean=1, std=2)
    expected = torch.cat([alone(group) for group in batch.split(ghost.size)])
    torch.testing.assert_close(ghost(batch), expected)
    torch.testing.assert_close(ghost.norm.running_var, alone.running_var)
    torch.testing.assert_close(ghost.eval()(batch), alone.eval()(batch))


def test_a_copy_with_ghosts_shares_nothing_and_keeps_weights_and_gradients():
    model = models.residual_net(nn.BatchNorm2d)
    ghostly = in_ghost_batches(model, 4)
    assert sum(isinstance(module, GhostBatches) for module in ghostly.modules()) == 7
    assert not any(isinstance(module, GhostBatches) for module in model.modules())
    ours, theirs = list(model.parameters()), list(ghostly.parameters())
    assert all(torch.equal(a, b) and a is not b for a, b in zip(ours, theirs, strict=True))
    ghostly(data.synthetic((8, 1, 8, 8))).sum().backward()
    assert all(weight.grad is not None for weight in theirs)


@pytest.mark.parametrize("bad", [lambda: GhostBatches(nn.BatchNorm1d(1), 0),
                                 lambda: in_ghost_batches(models.mlp(4), 2)])  # fmt: skip
def test_what_makes_no_sense_is_refused(bad):
    with pytest.raises(ValueError, match=r"at least 1|no batch norm"):
        bad()
