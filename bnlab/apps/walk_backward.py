"""Walk the gradient of batch normalisation back through its graph, edge by edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.experiments.backward import Walk, walk_backward
from bnlab.plots.computation_graph import GraphArtists, decimal, draw_backward_pass

INPUTS, WEIGHT, BIAS = (1.0, 2.0, 3.0, 6.0), 2.0, 1.0
ARRIVING = {
    "(1, 0, 0, 0)": (1.0, 0.0, 0.0, 0.0),
    "(1, −2, 0, 3)": (1.0, -2.0, 0.0, 3.0),
    "(1, 1, 1, 1)": (1.0, 1.0, 1.0, 1.0),
}
SYMBOLS = {"x": "x", "mean": "μ", "centred": "(x−μ)", "var": "σ²", "rstd": "r", "x_hat": "x̂",
           "weight": "γ", "bias": "β", "y": "y"}  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """How far a backward pass has come, and the edge it crossed last in words."""

    values: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    crossed: tuple[tuple[str, str], ...]
    headline: str
    lines: tuple[str, str]


class WalkBackward(Sweep[Progress]):
    """The graph of four values in one channel; a slider walks the gradient from y back to x."""

    title = "Walk the backward pass, one edge at a time"
    size = (8.6, 6.0)
    controls = (
        Slider("step", "step", list(range(11)), 0, unit="of 10"),
        Choice("arriving", "gradient that arrives at y", list(ARRIVING), "(1, 0, 0, 0)"),
    )

    def compute(self, step: int, arriving: str) -> Progress:
        walk = walk_backward(
            torch.tensor(INPUTS),
            torch.tensor(ARRIVING[arriving]),
            torch.tensor(WEIGHT),
            torch.tensor(BIAS),
        )
        done = walk.moves[:step]
        return Progress(
            values=walk.values,
            gradients=done[-1].gradients if done else {"y": walk.grad_output},
            crossed=tuple((move.input, move.output) for move in done),
            headline=headline(walk, step),
            lines=lines(walk, step),
        )

    def draw(self, figure: Figure, result: Progress) -> GraphArtists:
        figure.set_layout_engine("none")
        return draw_backward_pass(figure.add_axes((0, 0, 1, 1)), result)

    def describe(self, result: Progress) -> str:
        node = result.crossed[-1][0] if result.crossed else "y"
        gradient = row(result.gradients[node])
        return f"{result.headline} The gradient of {SYMBOLS[node]} is now {gradient}."


def headline(walk: Walk, step: int) -> str:
    """Which edge is crossed, and whether it is the last that leads to its node."""
    if step == 0:
        return "Start: the rest of the network says how the loss answers to y."
    move, earlier = walk.moves[step - 1], walk.moves[: step - 1]
    where = f"Step {step}: from {SYMBOLS[move.output]} back to {SYMBOLS[move.input]}"
    if any(before.input == move.input for before in earlier):
        return f"{where}, a second road: what it brings is added."
    if any(after.input == move.input for after in walk.moves[step:]):
        return f"{where}, the first of two roads."
    return f"{where}."


def lines(walk: Walk, step: int) -> tuple[str, str]:
    """The chain rule on the edge crossed last: with letters, then with numbers."""
    if step == 0:
        return f"dy = {row(walk.grad_output)}", "dy stands for ∂L/∂y, and so on for every node."
    move = walk.moves[step - 1]
    into, out = SYMBOLS[move.input], SYMBOLS[move.output]
    added = "+=" if any(before.input == move.input for before in walk.moves[: step - 1]) else "="
    shared = walk.values[move.output].dim() > walk.values[move.input].dim()
    derivative = f"({move.derivative})" if move.derivative.startswith("−") else move.derivative
    product = f"d{out}" if derivative == "1" else f"d{out} · {derivative}"
    chain = f"d{into} {added} {'Σ ' if shared else ''}{product}"
    return chain, f"local derivative {row(move.local)},  it brings {row(move.contribution)}"


def row(numbers: Tensor) -> str:
    """One number, or several in parentheses."""
    words = ", ".join(decimal(number) for number in numbers.reshape(-1).tolist())
    return f"({words})" if numbers.dim() else words
