"""One channel of real feature maps, before and after batch normalisation."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider, Value
from bnlab.apps.live import Live
from bnlab.functional import moments, normalize
from bnlab.plots.feature_maps import ChannelArtists, draw_channel


@dataclass(frozen=True)
class Channel:
    """One channel of a batch, `(N, H, W)`, before and after, and a digit it was computed from."""

    image: Tensor
    before: Tensor
    after: Tensor
    channel: int

    @property
    def words(self) -> str:
        """Mean and standard deviation before and after."""
        return "; ".join(
            f"{name} mean {values.mean().item() + 0.0:.2f}, "
            f"standard deviation {values.std(correction=0).item():.2f}"
            for name, values in (("before", self.before), ("after", self.after))
        ).replace("-0.00", "0.00")


class NormalizeChannel(Live[Channel]):
    """A channel of your feature maps: the first sample's as a picture, all samples' as histograms.

    Args:
        images: what the feature maps were computed from, `(N, 1, H, W)`; the first is shown.
        features: feature maps, `(N, C, H, W)`.
        **start: values to start from.
    """

    title = "Normalise one channel of a batch of feature maps"
    size = (8.6, 4.5)

    def __init__(self, images: Tensor, features: Tensor, **start: Value) -> None:
        self.sample, self.features = images[0, 0].detach(), features.detach()
        self.controls = (
            Slider("channel", "channel", list(range(features.shape[1])), 0),
            Slider("gamma", "γ, the scale", [0.0, 0.25, 0.5, 1.0, 1.5, 2.0], 1.0),
            Slider("beta", "β, the shift", [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0], 0.0),
            Slider("eps", "ε, inside the root", [1e-5, 1e-3, 0.01, 0.1, 1.0, 10.0], 1e-5),
        )
        super().__init__(**start)

    def compute(self, channel: int, gamma: float, beta: float, eps: float) -> Channel:
        before = self.features[:, channel]
        mean, var = moments(before, dim=(0, 1, 2))
        weight, bias = before.new_tensor(gamma), before.new_tensor(beta)
        after = normalize(before, mean, var, weight, bias, eps)
        return Channel(self.sample, before, after, channel)

    def draw(self, figure: Figure, result: Channel) -> ChannelArtists:
        axes = figure.subplot_mosaic("AABBCC;DDDEEE", height_ratios=(1, 1.1))
        maps, histograms = (axes["A"], axes["B"], axes["C"]), (axes["D"], axes["E"])
        return draw_channel(maps, histograms, result)

    def describe(self, result: Channel) -> str:
        return f"Channel {result.channel}, {result.before.numel()} values: {result.words}."
