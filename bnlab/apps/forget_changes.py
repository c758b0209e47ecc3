"""Photographs made brighter or of more contrast, and which norm takes notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab import functional
from bnlab.apps.controls import Choice, Slider, Value
from bnlab.apps.live import Live
from bnlab.plots.photographs import ForgettingArtists, draw_forgetting

Norm = Callable[[Tensor, float], Tensor]


def _of_tokens(norm: Callable[..., Tensor]) -> Norm:
    """Let a norm of the last dimension work on the channels."""
    return lambda x, eps: norm(x.movedim(1, -1), x.shape[1:2], eps=eps).movedim(-1, 1)


NORMS: dict[tuple[str, str], Norm] = {
    ("BatchNorm", "over N, H, W"): lambda x, eps: functional.batch_norm(
        x, None, None, training=True, eps=eps
    ),
    ("InstanceNorm", "over H, W"): lambda x, eps: functional.instance_norm(x, eps=eps),
    ("LayerNorm", "over C, H, W"): lambda x, eps: functional.layer_norm(x, x.shape[1:], eps=eps),
    ("LayerNorm", "over C"): _of_tokens(functional.layer_norm),
    ("RMSNorm", "over C"): _of_tokens(functional.rms_norm),
}


@dataclass(frozen=True)
class Normed:
    """Pictures after a norm, and how far they are from those of the unchanged batch."""

    title: tuple[str, str]
    unchanged: Tensor
    pictures: Tensor
    changed: Tensor


@dataclass(frozen=True)
class Forgetting:
    """A batch of photographs, changed, and what each norm makes of it."""

    names: tuple[str, ...]
    changed: Normed
    normed: tuple[Normed, ...]


class ForgetChanges(Live[Forgetting]):
    """Change contrast and brightness of a batch of photographs: which norm forgets it?

    Args:
        photographs: two pictures, `(2, 3, H, W)`; small ones answer sooner.
        names: what to call them.
        eps: inside the root; tiny, so that a grey pixel, whose channels hardly vary, is treated
            like any other.
        **start: values to start from.
    """

    title = "Contrast · x + brightness: which norm forgets it?"
    size = (9.4, 3.1)

    def __init__(
        self, photographs: Tensor, names: Sequence[str], *, eps: float = 1e-12, **start: Value
    ) -> None:
        self.photographs, self.names, self.eps = photographs.double(), tuple(names), eps
        one, everything = self.names[0], slice(None)
        # Which samples and channels are changed.
        self.places: dict[str, tuple[int | slice, int | slice]] = {
            f"the {one}": (0, everything),
            f"the {one}'s red": (0, 0),
            "red in both": (everything, 0),
            "both": (everything, everything),
        }
        self.controls = (
            Choice("where", "change", list(self.places), f"the {one}"),
            Slider("contrast", "contrast", [0.25, 0.5, 0.75, 1.0, 1.5, 2.0], 0.5),
            Slider("brightness", "brightness", [-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4], 0.2),
        )
        self.unchanged = {title: norm(self.photographs, eps) for title, norm in NORMS.items()}
        super().__init__(**start)

    def compute(self, where: str, contrast: float, brightness: float) -> Forgetting:
        batch = self.photographs.clone()
        place = self.places[where]
        batch[place] = contrast * batch[place] + brightness
        normed = tuple(
            _held(title, norm(batch, self.eps), self.unchanged[title])
            for title, norm in NORMS.items()
        )
        return Forgetting(self.names, _held(("Input", ""), batch, self.photographs), normed)

    def draw(self, figure: Figure, result: Forgetting) -> ForgettingArtists:
        figure.set_layout_engine("none")
        room = {"left": 0.034, "right": 0.996, "bottom": 0.085, "top": 0.85}
        grid = room | {"wspace": 0.07, "hspace": 0.36}
        axes = figure.subplots(len(self.names), 1 + len(NORMS), gridspec_kw=grid)
        return draw_forgetting(axes, result)

    def describe(self, result: Forgetting) -> str:
        columns = (
            f"{' '.join(column.title)} {', '.join(f'{moved:.0%}' for moved in column.changed)}"
            for column in result.normed
        )
        return f"Changed by ({' and '.join(result.names)}): {'; '.join(columns)}."


def _held(title: tuple[str, str], pictures: Tensor, unchanged: Tensor) -> Normed:
    apart, whole = (each.flatten(1).norm(dim=1) for each in (pictures - unchanged, unchanged))
    return Normed(title, unchanged, pictures, apart / whole)
