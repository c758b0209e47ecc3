"""One channel before and after: a feature map as a picture, all its values as a histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from torch import Tensor

from bnlab.plots.histograms import BeforeAfterArtists, draw_before_after


class ChannelBeforeAfter(Protocol):
    """One channel of a batch, `(N, H, W)`, as it came and as it went."""

    @property
    def image(self) -> Tensor: ...  # the first sample's input, (H, W)
    @property
    def before(self) -> Tensor: ...
    @property
    def after(self) -> Tensor: ...


@dataclass
class ChannelArtists:
    """The first sample's two feature maps, and histograms of all samples' values."""

    maps: tuple[AxesImage, AxesImage]
    histograms: BeforeAfterArtists

    def update(self, result: ChannelBeforeAfter) -> None:
        """Show the channel of `result`."""
        for shown, values in zip(self.maps, (result.before, result.after), strict=True):
            shown.set_data(values[0].numpy())
        self.histograms.update(result)


def draw_channel(
    maps: tuple[Axes, Axes, Axes],
    histograms: tuple[Axes, Axes],
    result: ChannelBeforeAfter,
    *,
    reach: float = 4.0,
) -> ChannelArtists:
    """Draw a sample, its feature map before and after, and both histograms, on one scale.

    Args:
        maps: for the sample itself, its map before and its map after.
        histograms: left for before, right for after.
        result: one channel; its first sample is the one shown as a picture.
        reach: colours and horizontal axes run from `-reach` to `reach`.
    """
    shown: list[AxesImage] = []
    for ax, values in zip(maps, (result.image, result.before[0], result.after[0]), strict=True):
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        scale = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach} if shown else {"cmap": "gray_r"}
        shown.append(ax.imshow(values.numpy(), **scale))
    for ax, title in zip(maps, ("A digit", "Map before", "Map after"), strict=True):
        ax.set_title(title)
    bar = maps[2].figure.colorbar(shown[2], ax=maps[1:], fraction=0.04, ticks=[-reach, 0, reach])
    bar.outline.set_visible(False)
    steps = draw_before_after(histograms, result, reach=reach, top=45.0)
    artists = ChannelArtists((shown[1], shown[2]), steps)
    artists.update(result)
    return artists
