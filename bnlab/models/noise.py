"""A layer that spoils what a norm has put in order."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DistributionNoise(nn.Module):
    r"""Give each channel another distribution at every step, in train mode.

    .. math::
        y_{ij} = s_{ij}\, x_{ij} + m_{ij}, \qquad
        m_{ij} \sim \mathcal{U}(\mu_j - 0.1 k,\ \mu_j + 0.1 k), \quad
        s_{ij} \sim \mathcal{N}(\sigma_j,\ (0.1 k)^2)

    At every step each channel :math:`j` gets another
    :math:`\mu_j \sim \mathcal{U}(-0.5 k,\ 0.5 k)` and
    :math:`\sigma_j \sim \mathcal{U}(1,\ 1 + 0.25 k)`, with :math:`k` the `strength`. That is the
    paper's noise: the distribution *jumps*. With a `memory` :math:`\rho` above 0 it *wanders*: of
    its last place a share :math:`\rho` stays, :math:`z \leftarrow \rho z + \sqrt{1 - \rho^2}\, u`,
    which keeps variance and mean as they are. All is drawn from torch's global generator, as
    dropout draws: seeding it fixes them. In eval mode nothing is drawn and the layer multiplies by
    :math:`\sigma_j`'s mean, :math:`1 + 0.125 k`, so that on average both modes agree.

    Args:
        num_features: Number of channels, dimension 1 of the input.
        strength: 1 for the noise of the paper, 0 for none.
        memory: 0 for jumps from step to step; the nearer to 1, the slower it wanders.

    Shape:
        - input and output: :math:`(N, C)` or :math:`(N, C, *)`

    Raises:
        ValueError: `strength` is negative, `memory` is not in [0, 1), or the input has another
            number of channels.

    Example:
        >>> noise = DistributionNoise(3)
        >>> batch = torch.randn(1000, 3)
        >>> torch.equal(noise(batch).mean(0), noise(batch).mean(0))
        False
        >>> torch.equal(noise.eval()(batch), 1.125 * batch)
        True

    Santurkar et al., "How Does Batch Normalization Help Optimization?" (2018), appendix A:
    https://arxiv.org/abs/1805.11604
    """

    place: Tensor

    def __init__(self, num_features: int, strength: float = 1.0, memory: float = 0.0) -> None:
        super().__init__()
        if strength < 0:
            raise ValueError(f"strength is {strength}: choose 0 for no noise, or a number above")
        if not 0 <= memory < 1:
            raise ValueError(f"memory is {memory}: choose 0, or a number above it and below 1")
        self.num_features, self.strength, self.memory = num_features, strength, memory
        start = 2 * torch.rand(2, num_features) - 1
        self.register_buffer("place", start, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Move the distributions, draw the noise and apply it; in eval mode apply its mean."""
        if input.dim() < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"expected {self.num_features} channels in dimension 1, "
                f"but the input has shape {tuple(input.shape)}"
            )
        if self.strength == 0:
            return input
        if not self.training:
            return input * (1 + 0.125 * self.strength)
        fresh = 2 * torch.rand_like(self.place) - 1
        self.place = self.memory * self.place + (1 - self.memory**2) ** 0.5 * fresh
        channels = (1, self.num_features, *(1,) * (input.dim() - 2))
        toward, wide = (place.to(input.dtype).view(channels) for place in self.place)
        shift = 0.5 * toward + 0.1 * (2 * torch.rand_like(input) - 1)
        scale = 1 + self.strength * (0.125 * (1 + wide) + 0.1 * torch.randn_like(input))
        output: Tensor = scale * input + self.strength * shift
        return output

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.num_features}, strength={self.strength}, memory={self.memory}"
