"""Find the mistakes that explain what a learner's code does.

A correct solution is written out in steps, each of which can also be taken in a known wrong way. It
is asked the same questions as the learner's code, right and with every mistake and every two of
them. What gives the same answers names the mistake: there is no rule for any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.exercises.asking import (
    RIGHT,
    Answers,
    BrokenError,
    Exercise,
    Question,
    Reply,
    UnclearError,
    Value,
    Way,
    agree,
    close,
)
from bnlab.exercises.guard import SECONDS, Failure, attempt, undisturbed
from bnlab.exercises.verdict import Example, Verdict, show


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
            case Failure(kind="not yet") if len(got) == 1:
                return Verdict(exercise.name, "not yet")
            case Failure(kind="hangs", message=message):
                shown = Example(question.call, _given(question), "", "an answer", message)
                return Verdict(exercise.name, "hangs", example=shown)
    wrong = [i for i in range(len(got)) if not agree(got[i], right[i])]
    if not wrong:
        return Verdict(exercise.name, "passed")
    found, complete, remark = RIGHT, False, ""
    if any(isinstance(each, Mapping) for each in got):
        found, complete, remark = _Case(exercise, got, right).explain()
    named = {mistake.slug: mistake for mistake in exercise.mistakes}
    first = got[wrong[0]]
    status = first.kind if isinstance(first, Failure) and not found else "mistaken"
    return Verdict(
        exercise.name,
        status,
        tuple(named[slug] for slug in named if slug in found),
        complete or status != "mistaken",
        remark,
        _example(exercise.questions[wrong[0]], right[wrong[0]], first),
    )


def _fits(got: Reply, wrong: Reply, right: Reply) -> bool:
    """Whether a wrong way accounts for one reply."""
    if isinstance(wrong, UnclearError):
        return True
    if isinstance(wrong, BrokenError):
        return not agree(got, right)
    if isinstance(wrong, Mapping) and any(map(_is_unclear, wrong.values())):
        return isinstance(got, Mapping) and all(
            _is_unclear(value) or close(got[name], value) for name, value in wrong.items()
        )
    return agree(got, wrong)


def _says_more(wrong: Reply, right: Reply) -> bool:
    """Whether a wrong way has something definite, and other than right, to say."""
    if isinstance(wrong, Mapping) and isinstance(right, Mapping):
        return any(
            not _is_unclear(value) and not close(value, right[name])
            for name, value in wrong.items()
        )
    return not isinstance(wrong, UnclearError)


def _is_unclear(value: Value) -> bool:
    """Whether a wrong way leaves a value open, which then is NaN."""
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().all())


@dataclass(frozen=True)
class _Case:
    """A learner's answers, and what to hold them against."""

    exercise: Exercise
    got: list[Answers | Failure]
    right: list[Reply]

    def explain(self) -> tuple[Way, bool, str]:
        """Return the mistakes, whether they explain everything, and what is not sure."""
        slugs = [mistake.slug for mistake in self.exercise.mistakes]
        for size in (1, 2):
            whole = [way for way in map(Way, combinations(slugs, size)) if self.fits(way)]
            if whole:
                # Those that say most of what was seen, where others leave it open.
                scores = {way: self.score(way) for way in whole}
                best = max(scores.values())
                return self.common([way for way in whole if scores[way] == best])
        scores = {Way({slug}): self.score(Way({slug})) for slug in slugs}
        first = sorted(scores, key=lambda way: -scores[way])[:FOLLOWED]
        pairs = {way | {slug} for way in first for slug in slugs if slug not in way}
        if max(scores.values()) > 0:
            scores |= {way: self.score(way) for way in pairs}
        best = max(scores.values())
        if best <= 0:
            return RIGHT, False, ""
        size = min(len(way) for way in scores if scores[way] == best)
        leading = [way for way in scores if scores[way] == best and len(way) == size]
        for way in leading if len(leading) <= FOLLOWED else []:
            # A further one may be all that is missing.
            for slug in slugs:
                if self.fits(way | {slug}):
                    return way | {slug}, True, ""
        sure, _, remark = self.common(leading)
        return sure, False, remark

    def fits(self, way: Way) -> bool:
        """Whether a wrong way accounts for everything, and each mistake in it for something."""
        backed: set[str] = set()
        known = [(slug, self.exercise.replies(Way({slug}))) for slug in way]
        replies = self.exercise.each_reply(way)
        for i, (got, wrong, right) in enumerate(zip(self.got, replies, self.right, strict=True)):
            if way & self.exercise.fragile and isinstance(got, Failure):
                continue
            if not _fits(got, wrong, right):
                return False
            if not agree(got, right):
                backed |= {slug for slug, alone in known if _says_more(alone[i], right)}
        return backed == way

    def score(self, way: Way) -> float:
        """How many wrong values a way explains, less those that it would have made wrong."""
        score = 0.0
        replies = self.exercise.each_reply(way)
        for i, (got, reached, right) in enumerate(zip(self.got, replies, self.right, strict=True)):
            if isinstance(reached, UnclearError | BrokenError) or not isinstance(got, Mapping):
                continue
            for name, value in right.items() if isinstance(right, Mapping) else ():
                if name not in got:
                    continue
                ours = reached.get(name) if isinstance(reached, Mapping) else None
                if close(got[name], value):
                    score -= ours is None or not close(ours, value)
                elif ours is not None and close(got[name], ours):
                    # Of yes and no many mistakes say the same, which is no evidence for any.
                    score += not isinstance(ours, bool) or self.tells(i, name, ours)
        return score

    def tells(self, question: int, name: str, value: bool) -> bool:
        """Whether a yes or no is the work of one known mistake, which does nothing else."""
        giving = []
        for mistake in self.exercise.mistakes:
            replies = self.exercise.replies(Way({mistake.slug}))
            answers = replies[question]
            if isinstance(answers, Mapping) and answers.get(name) is value:
                giving.append(replies)
        touched = [
            (name, answers)
            for answers, right in zip(giving[0], self.right, strict=True)
            if answers is not right and isinstance(answers, Mapping)
            for name in answers
        ]
        return len(giving) == 1 and all(type(answers[name]) is bool for name, answers in touched)

    def common(self, ways: list[Way]) -> tuple[Way, bool, str]:
        """What several explanations agree on; the rest is said as a choice."""
        sure = Way.intersection(*ways)
        if len(ways) == 1:
            return sure, True, ""
        says = {mistake.slug: mistake.says for mistake in self.exercise.mistakes}
        rest = [" ".join(says[slug] for slug in sorted(way - sure)) for way in ways]
        if len(rest) > 3:
            return sure, False, ""
        return sure, False, f"One of these, too: {' Or: '.join(rest)}"


FOLLOWED = 3
"""Leading explanations to which further mistakes are added."""


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
