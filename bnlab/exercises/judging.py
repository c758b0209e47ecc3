"""Ask a learner's code an exercise's questions, and say what its answers tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.exercises.asking import (
    RIGHT,
    Answers,
    Exercise,
    Question,
    Reply,
    Value,
    close,
)
from bnlab.exercises.explaining import Case
from bnlab.exercises.guard import SECONDS, Failure, attempt, undisturbed
from bnlab.exercises.verdict import Example, Status, Verdict, show


def judge(make: Callable[[], Exercise], attempted: Any, seconds: float = SECONDS) -> Verdict:
    """Ask a learner's solution everything, and name what explains its answers."""
    with undisturbed():
        return _judge(make(), attempted, seconds)


def _judge(exercise: Exercise, attempted: Any, seconds: float) -> Verdict:
    if attempted is None or attempted is ...:
        return Verdict(exercise.name, "not yet")
    if not callable(attempted) or isinstance(attempted, nn.Module):
        kind = type(attempted).__name__
        remark = f"The checker takes a function or a class itself; this is an object, a {kind}."
        return Verdict(exercise.name, "nonsense", complete=False, remark=remark)
    right = exercise.replies(RIGHT)
    got: list[Answers | Failure] = []
    for question in exercise.questions:
        got.append(attempt(lambda q=question: q.ask(attempted), seconds))  # type: ignore[misc]
        match got[-1]:
            case Failure(kind="not yet") if len(got) == 1 and _is_blank(attempted):
                return Verdict(exercise.name, "not yet")
            case Failure(kind="hangs", message=message):
                shown = Example(question.call, _given(question), "", "an answer", message)
                return Verdict(exercise.name, "hangs", example=shown)
    case = Case(exercise, got, right)
    kinds = {each.kind if isinstance(each, Failure) else "answered" for each in got}
    if kinds == {"not yet"}:
        return Verdict(exercise.name, "not yet", remark=str(got[0]))
    if not case.wrong:
        return Verdict(exercise.name, "passed")
    found, complete, remark = RIGHT, False, ""
    if len(case.failed) < len(got):
        found, complete, remark = case.explain()
    named = {mistake.slug: mistake for mistake in exercise.mistakes}
    first = got[case.wrong[0]]
    status: Status = "mistaken"
    if isinstance(first, Failure) and not found:
        status = "nonsense" if first.kind == "not yet" else first.kind
    return Verdict(
        exercise.name,
        status,
        tuple(named[slug] for slug in named if slug in found),
        complete or status != "mistaken",
        remark,
        _example(exercise.questions[case.wrong[0]], right[case.wrong[0]], first),
    )


def _is_blank(attempted: Any) -> bool:
    """Whether no more is in it than in what learners are given."""
    code = getattr(getattr(attempted, "forward", attempted), "__code__", None)
    return set(getattr(code, "co_names", ())) <= {"NotImplementedError"}


def _given(question: Question) -> dict[str, str]:
    return {name: show(value) for name, value in question.given.items()}


def _example(question: Question, right: Reply, got: Reply) -> Example:
    """The first value of a question that is wrong."""
    if not isinstance(right, Mapping):
        raise TypeError(f"our own solution has no answer to {question.call}: {right}")
    if not isinstance(got, Mapping):
        return Example(question.call, _given(question), "", "an answer", str(got))
    name = next(name for name in right if name not in got or not close(got[name], right[name]))
    expected, seen = _pair(right[name], got.get(name, "missing"))
    return Example(question.call, _given(question), name, expected, seen)


def _pair(expected: Value, got: Value) -> tuple[str, str]:
    """Two values as text, with as many digits as it takes to see the difference."""
    both = isinstance(expected, Tensor) and isinstance(got, Tensor)
    if isinstance(expected, Tensor) and isinstance(got, Tensor) and expected.shape == got.shape:
        gaps = (expected.double() - got.double()).abs().nan_to_num(torch.inf)
        if gaps.numel() > 12:
            at = torch.unravel_index(gaps.argmax(), gaps.shape)
            place = f"entry [{', '.join(str(int(i)) for i in at)}]: "
            texts = _pair(expected[at], got[at])
            return place + texts[0], place + texts[1]
    for decimals in range(3 if both else 6, 7):
        texts = show(expected, decimals), show(got, decimals)
        if texts[0] != texts[1]:
            break
    return texts
