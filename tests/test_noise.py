"""The layer that gives each channel another distribution at every step."""

import pytest
import torch

from bnlab.models import DistributionNoise

BATCH = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0))


def moves(noise: DistributionNoise, steps: int = 200) -> torch.Tensor:
    """The mean of each channel after each of some steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.stack([noise(BATCH[:2000]).mean(0) for _ in range(steps)])


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_means_and_spreads_stay_where_the_paper_draws_them(strength: float) -> None:
    torch.manual_seed(0)
    noise = DistributionNoise(3, strength)
    for _ in range(20):
        output = noise(BATCH)
        assert (output.mean(0).abs() < 0.5 * strength + 0.1).all()
        # The jitter within a channel adds to its spread, as independent noise does.
        most = (1 + 0.25 * strength) ** 2 + (0.1 * strength) ** 2 * (1 + 1 / 3)
        assert (output.var(0) > 0.95).all()
        assert (output.var(0) < 1.05 * most).all()


def test_every_channel_has_noise_of_its_own_and_every_step_another() -> None:
    means = moves(DistributionNoise(3), 2)
    assert len(set(means.flatten().tolist())) == 6


def test_a_memory_keeps_variance_and_makes_steps_smaller() -> None:
    jumps, wanders = (moves(DistributionNoise(3, memory=m), 2000) for m in (0.0, 0.9))
    assert wanders.std().item() == pytest.approx(jumps.std().item(), rel=0.15)
    ratio = wanders.diff(dim=0).std() / jumps.diff(dim=0).std()
    assert ratio.item() == pytest.approx((1 - 0.9) ** 0.5, rel=0.1)


def test_a_seed_fixes_the_noise() -> None:
    noise = DistributionNoise(3, 2.0)
    first, second = moves(noise, 3), moves(noise, 3)
    assert torch.equal(first, second)


def test_pictures_share_the_noise_of_their_channel_but_for_the_jitter() -> None:
    torch.manual_seed(0)
    output = DistributionNoise(2, 1.0)(torch.zeros(4, 2, 8, 8))
    assert output.shape == (4, 2, 8, 8)
    within, between = output.amax((0, 2, 3)) - output.amin((0, 2, 3)), output.mean((0, 2, 3))
    assert (within <= 0.2).all()
    assert between[0] != between[1]


def test_no_noise_is_the_identity_in_both_modes() -> None:
    noise = DistributionNoise(3, 0.0)
    assert torch.equal(noise(BATCH), BATCH)
    assert torch.equal(noise.eval()(BATCH), BATCH)


def test_both_modes_agree_on_average() -> None:
    torch.manual_seed(0)
    noise = DistributionNoise(3, 2.0)
    mean = torch.stack([noise(BATCH[:10]) for _ in range(4000)]).mean(0)
    assert torch.allclose(mean, noise.eval()(BATCH[:10]), atol=0.1)


def test_keeps_the_dtype_and_nothing_in_the_state_dict() -> None:
    noise = DistributionNoise(3)
    assert noise(BATCH.double()).dtype == torch.float64
    assert not noise.state_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"strength": -1.0}, "strength is -1.0"), ({"memory": 1.0}, "memory is 1.0")],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistributionNoise(3, **settings)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 3 channels .* \(5, 4\)"):
        DistributionNoise(3)(torch.zeros(5, 4))
