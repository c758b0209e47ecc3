"""Hold one implementation against another: outputs, gradients, buffers and state-dict keys."""

from __future__ import annotations

import copy
import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_TOLERANCES = {torch.float16: 1e-2, torch.bfloat16: 5e-2, torch.float32: 1e-5, torch.float64: 1e-10}
_INPUT_GRADIENT = "gradient of input"


@dataclass(frozen=True)
class Row:
    """One compared quantity; without numbers, `note` says why there are none."""

    name: str
    difference: float | None
    tolerance: float | None
    passed: bool
    note: str = ""

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The row as text: name, difference, tolerance, verdict."""
        verdict = "✓ agrees" if self.passed else "✗ differs"
        return (
            self.name,
            "" if self.difference is None else f"{self.difference:.1e}",
            "" if self.tolerance is None else f"{self.tolerance:.1e}",
            f"{verdict}: {self.note}" if self.note else verdict,
        )


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found, a row for each quantity; true if every row agrees."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether every row agrees."""
        return all(row.passed for row in self.rows)

    @property
    def _summary(self) -> str:
        return f"{sum(row.passed for row in self.rows)} of {len(self.rows)} agree"

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        table = [(self._summary, "difference", "tolerance", "verdict")]
        table += [row.cells for row in self.rows]
        first, second, third = (max(len(line[i]) for line in table) for i in range(3))
        return "\n".join(
            f"{name:<{first}}  {difference:>{second}}  {tolerance:>{third}}  {verdict}"
            for name, difference, tolerance, verdict in table
        )

    def _repr_html_(self) -> str:
        def line(row: Row) -> str:
            name, *cells = (html.escape(cell) for cell in row.cells)
            weight = "normal" if row.passed else "bold"
            return (
                f'<tr style="font-weight:{weight}"><th scope="row" style="text-align:left">'
                f"{name}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
            )

        head = ("quantity", "largest difference", "tolerance", "verdict")
        return (
            f"<table><caption>{self._summary}</caption><thead><tr>"
            + "".join(f'<th scope="col">{title}</th>' for title in head)
            + "</tr></thead><tbody>"
            + "".join(line(row) for row in self.rows)
            + "</tbody></table>"
        )


def compare(
    ours: Callable[[Tensor], Tensor],
    reference: Callable[[Tensor], Tensor],
    input: Tensor,
    *,
    atol: float | None = None,
    rtol: float | None = None,
    seed: int = 0,
) -> Comparison:
    r"""Run two modules or functions on the same input and upstream gradient; compare all they do.

    A quantity agrees where its largest difference is at most a tolerance that grows with it:

    .. math::
        \max_i |a_i - b_i| \le \mathrm{atol} + \mathrm{rtol} \cdot \max_i |b_i|

    Modules are copied first, so that no gradient or statistic of the caller's is changed; each
    runs in the mode, train or eval, that it is in. A function has no state to compare.

    Args:
        ours: A module or function of one tensor.
        reference: What it should agree with.
        input: The batch given to both.
        atol: Absolute tolerance; None chooses it by the coarser dtype of `input` and the quantity.
            Integers, such as a counter of batches, must be equal either way.
        rtol: Relative tolerance; None chooses it likewise.
        seed: Seeds the upstream gradient, and anything random within the modules.

    Shape:
        - input: any that both accept

    Raises:
        TypeError: One of the two does not return a tensor.

    Example:
        >>> from bnlab import BatchNorm1d
        >>> batch = torch.linspace(-1, 1, 24).square().view(8, 3)
        >>> bool(compare(BatchNorm1d(3), nn.BatchNorm1d(3), batch))
        True
        >>> compare(torch.floor, torch.ceil, torch.tensor([0.5, 3.0]))
        1 of 2 agree       difference  tolerance  verdict
        output                1.0e+00    4.0e-05  ✗ differs
        gradient of input     0.0e+00    1.0e-05  ✓ agrees

    The questions are those of micrograd's parity test: https://github.com/karpathy/micrograd
    """
    mine = _run(ours, input, seed)
    theirs = _run(reference, input, seed)
    modules = isinstance(ours, nn.Module) and isinstance(reference, nn.Module)
    names = list(theirs | mine) if modules else ["output", _INPUT_GRADIENT]
    rows = [
        _row(name, mine.get(name), theirs.get(name), input.dtype, atol, rtol)
        for name in names
        if name in mine or name in theirs
    ]
    if isinstance(ours, nn.Module) and isinstance(reference, nn.Module):
        rows.append(_keys_row(set(ours.state_dict()), set(reference.state_dict())))
    return Comparison(tuple(rows))


def _run(function: Callable[[Tensor], Tensor], input: Tensor, seed: int) -> dict[str, Tensor]:
    """Forward and backward on copies; every tensor that came of it, by name."""
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function)
    leaf = input.detach().clone().requires_grad_(input.is_floating_point())
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        output = function(leaf)
        if not isinstance(output, Tensor):
            raise TypeError(
                f"compare needs a tensor back, got {type(output).__name__}: wrap the call in a "
                "function that returns the tensor to compare"
            )
        if output.requires_grad:
            torch.manual_seed(seed)
            output.backward(torch.randn(output.shape).to(output))
    return dict(_tensors(function, leaf, output))


def _tensors(function: object, input: Tensor, output: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield "output", output.detach()
    if input.grad is not None:
        yield _INPUT_GRADIENT, input.grad
    if isinstance(function, nn.Module):
        for name, parameter in function.named_parameters():
            if parameter.grad is not None:
                yield f"gradient of {name}", parameter.grad
        yield from function.named_buffers()


def _row(
    name: str,
    ours: Tensor | None,
    reference: Tensor | None,
    dtype: torch.dtype,
    atol: float | None,
    rtol: float | None,
) -> Row:
    def failed(note: str) -> Row:
        return Row(name, None, None, False, note)

    if ours is None or reference is None:
        return failed(f"only {'ours' if reference is None else 'the reference'} has one")
    if ours.shape != reference.shape:
        return failed(f"shape {tuple(ours.shape)}, reference {tuple(reference.shape)}")
    if ours.dtype != reference.dtype:
        return failed(f"{ours.dtype}, reference {reference.dtype}")

    a, b = ours.cpu().double(), reference.cpu().double()
    # Equal infinities and matching NaN are no difference, though subtracting them gives NaN.
    equal = (a == b) | (a.isnan() & b.isnan())
    gaps = torch.where(equal, 0.0, (a - b).abs())
    scale = b.abs().nan_to_num(0.0, 0.0, 0.0)
    tolerance = 0.0
    if reference.is_floating_point():
        # No quantity can be more precise than the input that it was made of.
        default = max(_TOLERANCES.get(kind, 0.0) for kind in (dtype, reference.dtype))
        largest = scale.max().item() if scale.numel() else 0.0
        tolerance = (default if atol is None else atol) + (
            default if rtol is None else rtol
        ) * largest
    difference = gaps.max().item() if gaps.numel() else 0.0
    return Row(name, difference, tolerance, difference <= tolerance)


def _keys_row(ours: set[str], reference: set[str]) -> Row:
    notes = [
        f"{word} {', '.join(sorted(keys))}"
        for word, keys in (("lacks", reference - ours), ("adds", ours - reference))
        if keys
    ]
    return Row("state-dict keys", None, None, not notes, "; ".join(notes))
