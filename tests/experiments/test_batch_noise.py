"""One sample among random mates, worked out by hand."""

import pytest
import torch
from torch import nn

import bnlab
from bnlab import models
from bnlab.experiments.batch_noise import lead, scores_in_batches


def pool(count: int = 400) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1))


def test_every_draw_is_the_sample_normalised_with_its_own_batch() -> None:
    mates, sample = pool(), torch.tensor([0.5, -1.0, 2.0])
    scores = scores_in_batches(nn.BatchNorm1d(3, eps=1e-12), sample, mates, 8, draws=5)
    draw = torch.Generator().manual_seed(0)
    for score in scores:
        batch = torch.stack([sample, *mates[torch.randint(400, (7,), generator=draw)]])
        expected = (sample - batch.mean(0)) / batch.std(0, correction=0)
        assert torch.allclose(score, expected, atol=1e-6)
    assert scores.std(0).min() > 0.05


def test_the_scatter_of_a_sample_in_the_middle_falls_as_one_over_the_root() -> None:
    norm = nn.BatchNorm1d(3, affine=False)
    small, large = (
        scores_in_batches(norm, torch.zeros(3), pool(5000), size, draws=600).std(0).mean()
        for size in (64, 1024)
    )
    assert small.item() == pytest.approx(1 / 64**0.5, rel=0.1)
    assert (small / large).item() == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, bnlab.BatchNorm1d])
def test_mode_statistics_and_the_global_generator_stay_as_they_are(norm) -> None:
    model = models.mlp(3, norm).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    scores = scores_in_batches(model, torch.zeros(3), pool(), 4, draws=6)
    assert scores.shape == (6, 10)
    assert not scores.requires_grad
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_without_batch_norm_there_is_no_noise() -> None:
    scores = scores_in_batches(models.mlp(3), torch.ones(3), pool(), 4, draws=6)
    assert torch.allclose(scores, scores[:1].expand(6, -1), atol=1e-6)


@pytest.mark.parametrize(("size", "mates"), [(1, 400), (4, 0)])
def test_a_batch_without_company_is_refused(size, mates) -> None:
    with pytest.raises(ValueError, match=f"batch_size is {size}, and there are {mates} mates"):
        scores_in_batches(nn.BatchNorm1d(3), torch.zeros(3), pool()[:mates], size)


@pytest.mark.parametrize(
    ("target", "expected"), [(0, [-1.0, 3.0]), (1, [1.0, -3.0]), (2, [-5.0, -9.0])]
)
def test_lead_is_over_the_best_other_class(target, expected) -> None:
    scores = torch.tensor([[4.0, 5.0, 0.0], [2.0, -1.0, -7.0]])
    assert lead(scores, target).tolist() == expected
