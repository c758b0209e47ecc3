"""What a checker says: which mistake it is, where it shows, and two hints for who asks."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Status = Literal["passed", "mistaken", "not yet", "raises", "hangs", "nonsense"]
WIDTH = 92
HEADS: Mapping[Status, str] = {
    "passed": "✓ passed",
    "mistaken": "✗ not right yet",
    "not yet": "○ not yet answered",
    "raises": "✗ raises an error",
    "hangs": "✗ does not come to an end",
    "nonsense": "✗ does not return what was asked for",
}


@dataclass(frozen=True)
class Mistake:
    """One known way to go wrong.

    Attributes:
        slug: A short name that stays the same, such as "eps-outside-root".
        says: Which mistake it is, in one sentence.
        hint: A question to ask oneself.
        stronger: Where to look; still not the answer.
    """

    slug: str
    says: str
    hint: str
    stronger: str


@dataclass(frozen=True)
class Example:
    """The smallest input seen on which an answer is wrong.

    Attributes:
        call: What was done, as code.
        given: The arguments, by name, as text.
        quantity: What was looked at.
        expected: What it should be, as text.
        got: What it was, as text.
    """

    call: str
    given: Mapping[str, str]
    quantity: str
    expected: str
    got: str

    @property
    def rows(self) -> dict[str, str]:
        """All of it, a line for each name."""
        about = f" ({self.quantity})" if self.quantity else ""
        return {
            **self.given,
            f"expected{about}": self.expected,
            f"got{about}": self.got,
        }


class Hint(str):
    """Text that a notebook shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(eq=False, repr=False)
class Verdict:
    """The answer of a checker; true if the exercise is passed.

    Attributes:
        exercise: Its name, such as "forward".
        status: "passed", "mistaken", "not yet", "raises", "hangs" or "nonsense".
        found: The known mistakes that explain what was seen.
        complete: Whether they explain all of it; if not, more is wrong.
        remark: What else there is to say.
        example: Where it shows; None where there is nothing to show.

    Example:
        >>> from bnlab.exercises import check_running_update
        >>> def update(running_mean, running_var, x, momentum):
        ...     cells = x.detach().movedim(1, 0).flatten(1)
        ...     new_mean = momentum * running_mean + (1 - momentum) * cells.mean(1)
        ...     return new_mean, momentum * running_var + (1 - momentum) * cells.var(1)
        >>> verdict = check_running_update(update)
        >>> verdict.passed, verdict.mistakes
        (False, ('momentum-reversed',))
        >>> verdict.hint()
        With momentum 0.1, how much of the old value should be left after one batch?
    """

    exercise: str
    status: Status
    found: tuple[Mistake, ...] = ()
    complete: bool = True
    remark: str = ""
    example: Example | None = None
    _asked: int = field(default=0, init=False)

    @property
    def passed(self) -> bool:
        """Whether everything was right."""
        return self.status == "passed"

    @property
    def answered(self) -> bool:
        """Whether there was anything to check."""
        return self.status != "not yet"

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Slugs of the known mistakes, and "other" where those are not all."""
        return tuple(each.slug for each in self.found) + (() if self.complete else ("other",))

    def hint(self) -> Hint:
        """Give a hint; asked again, a stronger one.

        Returns:
            One line for each mistake, never the answer.
        """
        self._asked += 1
        strong = self._asked > 1
        lines = [each.stronger if strong else each.hint for each in self.found]
        if not lines:
            lines = [STATUS_HINTS[self.status][strong]]
        return Hint("\n".join(lines))

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        parts = [f"{self.exercise}: {HEADS[self.status]}"]
        for text in self._sentences:
            parts += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
        if self.example:
            parts.append(f"  {self.example.call}")
            width = max(map(len, self.example.rows))
            for name, value in self.example.rows.items():
                gap = " " * (6 + width)
                first, *rest = value.splitlines() or [""]
                parts.append(f"    {name:<{width}}  {first}")
                parts += [gap + line for line in rest]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        def row(name: str, value: str) -> str:
            left, plain = "text-align:left", "margin:0;background:none"
            return (
                f'<tr><th scope="row" style="{left}">{html.escape(name)}</th>'
                f'<td style="{left}"><pre style="{plain}">{html.escape(value)}</pre></td></tr>'
            )

        head = html.escape(f"{self.exercise}: {HEADS[self.status]}")
        said = "".join(f"<br>{html.escape(text)}" for text in self._sentences)
        table = ""
        if self.example:
            rows = "".join(row(name, value) for name, value in self.example.rows.items())
            caption = f"<code>{html.escape(self.example.call)}</code>"
            table = (
                f'<table><caption style="text-align:left">{caption}</caption>'
                f"<tbody>{rows}</tbody></table>"
            )
        # Spoken by a screen reader when it appears, as what is not asked for would not be.
        return f'<div role="status"><p><strong>{head}</strong>{said}</p>{table}</div>'

    @property
    def _sentences(self) -> list[str]:
        texts = [each.says for each in self.found]
        if self.remark:
            texts.append(self.remark)
        elif not self.complete and self.found:
            texts.append("Something else is wrong as well.")
        elif not self.complete:
            texts.append("It differs from what is right, but in no way that this checker knows.")
        if self.status not in ("passed", "not yet"):
            texts.append("For a hint call .hint() on this verdict; again for a stronger one.")
        return texts


STATUS_HINTS: Mapping[Status, tuple[str, str]] = {
    "passed": ("Nothing is left to mend.", "Nothing is left to mend."),
    "not yet": (
        "Start with one channel and three values, on paper.",
        "Replace the ... by a first attempt, even a wrong one: the checker tells what is missing.",
    ),
    "mistaken": (
        "Compare expected with got, entry by entry: are all wrong, or only some?",
        "Print every intermediate step for the example above and work each out by hand.",
    ),
    "raises": (
        "Call it yourself with the arguments above; which line is the last of the traceback?",
        "Print the shape of every tensor in that line: which two do not fit together?",
    ),
    "hangs": (
        "Which loop in it has no end?",
        "Print the loop's counter: does it ever reach the condition that ends the loop?",
    ),
    "nonsense": (
        "What does the last line return, and what was asked for?",
        "Print type, shape and dtype of what you return.",
    ),
}


def show(value: object, decimals: int = 3) -> str:
    """Write a value in few characters: a tensor as rounded lists, or by its shape if it is large.

    Args:
        value: Anything.
        decimals: Of numbers.

    Example:
        >>> import torch
        >>> show(torch.tensor([[1.0, 2.34567]])), show(torch.zeros(3, 4, 5)), show(0.5)
        ('[[1, 2.346]]', 'shape (3, 4, 5)', '0.5')
    """
    if isinstance(value, Tensor):
        if value.is_meta or value.numel() > LARGE:
            return f"shape {tuple(value.shape)}"
        return show(value.detach().tolist(), decimals)
    if isinstance(value, list | tuple):
        return f"[{', '.join(show(each, decimals) for each in value)}]"
    if isinstance(value, float):
        text = f"{value:.{decimals}f}" if abs(value) < 1e5 else f"{value:.{decimals}g}"
        if "." in text and "e" not in text:
            text = text.rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return str(value)


LARGE = 12
"""Entries of a tensor that are still written out."""
