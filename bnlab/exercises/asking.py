"""Questions to a solution, and our own solution's answers to them, right and in every wrong way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bnlab.exercises.guard import Failure, NonsenseError, NotYetError
from bnlab.exercises.verdict import Mistake

Way = frozenset[str]
"""The slugs of the steps that are taken wrongly."""
RIGHT: Way = frozenset()
Value = Tensor | bool | str | int
Answers = Mapping[str, Value]
TOLERANCE = 5e-4
"""Of the largest entry, or of 1: float32 in any order of summation stays far below it."""


class UnclearError(Exception):
    """What a mistake does here depends on how it was written."""


class BrokenError(Exception):
    """A mistake makes this go wrong: by an error or a wrong answer, depending on how."""


Reply = Answers | Failure | UnclearError | BrokenError


@dataclass(frozen=True)
class Question:
    """Something to do with a solution, and to look at what comes of it.

    Attributes:
        call: What is done, as code.
        ask: Does it; returns values by name. Makes its own inputs, so that nothing can spoil them.
        given: Arguments to show.
    """

    call: str
    ask: Callable[[Any], Answers]
    given: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Exercise:
    """Questions, and the solution that answers them right or in any wrong way.

    Attributes:
        name: Of the exercise.
        questions: The smallest first.
        solve: Makes a solution that takes the given steps wrongly.
        mistakes: All that are known.
        fragile: Those of them after which shapes may no longer fit together, so that an error is
            no sign of another mistake.
    """

    name: str
    questions: tuple[Question, ...]
    solve: Callable[[Way], Any]
    mistakes: tuple[Mistake, ...]
    fragile: Way = RIGHT
    _known: dict[Way, list[Reply]] = field(default_factory=dict, init=False, repr=False)

    def each_reply(self, way: Way) -> Iterator[Reply]:
        """What comes of the questions, taken a given way.

        A question that only one of several mistakes touches is answered as by that one alone, so
        that few have to be asked anew.
        """
        if len(way) < 2:
            yield from self.replies(way)
            return
        right = self.replies(RIGHT)
        singles = [self.replies(Way({slug})) for slug in way]
        solution = self.solve(way)
        for i, question in enumerate(self.questions):
            touching = [each[i] for each in singles if each[i] is not right[i]]
            if len(touching) > 1:
                yield reply(question, solution)
            else:
                yield touching[0] if touching else right[i]

    def replies(self, way: Way) -> list[Reply]:
        """Everything at once, of one mistake or none; kept, since it never changes."""
        if way not in self._known:
            solution = self.solve(way)
            found = [reply(question, solution) for question in self.questions]
            if way != RIGHT:
                # The same object where it is right, so that what a mistake touches is known.
                right = self.replies(RIGHT)
                pairs = zip(found, right, strict=True)
                found = [known if same_reply(each, known) else each for each, known in pairs]
            self._known[way] = found
        return self._known[way]


def reply(question: Question, solution: Any) -> Reply:
    """Our own solution's answers, right or wrong; it needs no guard."""
    try:
        # As for the learner's: where something is drawn, both draw the same.
        torch.default_generator.manual_seed(0)
        return question.ask(solution)
    except (UnclearError, BrokenError) as error:
        return error
    except Exception as error:
        return Failure("raises", str(error))


def close(a: Value, b: Value, times: float = 1.0) -> bool:
    """Whether two values are equal up to rounding."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return type(a) is type(b) and a == b
    if a.shape != b.shape:
        return False
    finite = b.detach().double().nan_to_num(0.0, 0.0, 0.0).abs()
    scale = max(1.0, finite.max().item() if finite.numel() else 0.0)
    gap = times * TOLERANCE * scale
    return torch.allclose(a.detach().double(), b.detach().double(), 0.0, gap, equal_nan=True)


def same_reply(got: Reply, right: Reply) -> bool:
    """Whether two replies are the same."""
    if isinstance(got, Mapping) and isinstance(right, Mapping):
        return all(name in got and close(got[name], right[name]) for name in right)
    return isinstance(got, Failure) and isinstance(right, Failure)


def as_tensor(value: object, like: Tensor, what: str = "the output") -> Tensor:
    """Return a learner's tensor, detached and copied, if it is of the shape and dtype asked for.

    Raises:
        NotYetError: It is None or an ellipsis.
        NonsenseError: It is something else.
    """
    if value is None or value is ...:
        raise NotYetError
    if not isinstance(value, Tensor):
        raise NonsenseError(f"{what} is a {type(value).__name__}: return a torch tensor")
    if value.shape != like.shape:
        raise NonsenseError(
            f"{what} has shape {tuple(value.shape)}: it should have {tuple(like.shape)}"
        )
    if value.dtype != like.dtype:
        raise NonsenseError(f"{what} is of {value.dtype}: it should be of {like.dtype}")
    return value.detach().clone()


def mistakes(catalogue: Iterable[Mistake], *slugs: str) -> tuple[Mistake, ...]:
    """Pick mistakes by their slugs, in that order."""
    named = {mistake.slug: mistake for mistake in catalogue}
    return tuple(named[slug] for slug in slugs)


def unpack(result: object, *names: str) -> dict[str, object]:
    """Return a learner's several results by name.

    Raises:
        NotYetError: There is none.
        NonsenseError: There are more, or fewer.
    """
    if result is None or result is ...:
        raise NotYetError
    if not isinstance(result, tuple | list) or len(result) != len(names):
        raise NonsenseError(
            f"a {type(result).__name__} came back: return {len(names)} tensors, {', '.join(names)}"
        )
    return dict(zip(names, result, strict=True))
