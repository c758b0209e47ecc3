"""Find the mistakes that explain what a learner's code does.

A correct solution is written out in steps, each of which can also be taken in a known wrong way. It
is asked the same questions as the learner's code, right and with every mistake and every two of
them. What gives the same answers names the mistake: there is no rule for any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
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
    reply,
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
    case = _Case(exercise, got, right)
    if not case.wrong:
        return Verdict(exercise.name, "passed")
    found, complete, remark = RIGHT, False, ""
    if len(case.failed) < len(got):
        found, complete, remark = case.explain()
    named = {mistake.slug: mistake for mistake in exercise.mistakes}
    first = got[case.wrong[0]]
    status = first.kind if isinstance(first, Failure) and not found else "mistaken"
    return Verdict(
        exercise.name,
        status,
        tuple(named[slug] for slug in named if slug in found),
        complete or status != "mistaken",
        remark,
        _example(exercise.questions[case.wrong[0]], right[case.wrong[0]], first),
    )


FEW = 4
"""Mistakes that touch a question of which an answer is evidence for one of them."""


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
        pairs = [Way(pair) for pair in combinations(self.slugs, 2)]
        singles = [Way({slug}) for slug in self.slugs]
        # A third only where it shows on its own, or there would be too many to try.
        plain = [slug for slug in self.slugs if self.shows_alone(slug)]
        threes = {pair | {slug} for slug in plain for pair in pairs if slug not in pair}
        for ways in singles, pairs, threes:
            whole = [way for way in ways if self.may_fit(way) and self.fits(way)]
            if whole:
                # Those that say most of what was seen, where others leave it open.
                return self.common(self.leading(whole))
        ends = {self.wrong[0], self.wrong[-1]}
        likely = [way for way in pairs if any(self.agrees(way, i) for i in ends)]
        leading = self.leading([*singles, *likely])
        if not leading or self.score(leading[0]) <= 0:
            return RIGHT, False, ""
        sure, _, remark = self.common(leading)
        return sure, False, remark

    @cached_property
    def slugs(self) -> list[str]:
        return [mistake.slug for mistake in self.exercise.mistakes]

    @cached_property
    def wrong(self) -> list[int]:
        """Which questions the learner's code answers wrongly."""
        return [i for i in range(len(self.got)) if not agree(self.got[i], self.right[i])]

    @cached_property
    def touched(self) -> dict[str, set[int]]:
        """Which questions a mistake answers other than right."""
        return {
            slug: self._where(slug, lambda _, wrong, right: wrong is not right)
            for slug in self.slugs
        }

    @cached_property
    def fitted(self) -> dict[str, set[int]]:
        """Which questions a mistake, alone, answers as the learner's code does."""
        return {slug: self._where(slug, _fits) for slug in self.slugs}

    def _where(self, slug: str, holds: Callable[[Reply, Reply, Reply], bool]) -> set[int]:
        triples = zip(self.got, self.exercise.replies(Way({slug})), self.right, strict=True)
        return {i for i, triple in enumerate(triples) if holds(*triple)}

    def may_fit(self, way: Way) -> bool:
        """Whether all that is wrong is touched, and what only one mistake touches is as it has it.

        This is decided by what is known of each alone, and so in no time for all but a few.
        """
        touched = [self.touched[slug] for slug in way]
        failed = self.failed if way & self.exercise.fragile else set()
        if not set(self.wrong) <= set.union(failed, *touched):
            return False
        for slug in way:
            others = set.union(failed, *(self.touched[other] for other in way - {slug}))
            if not self.touched[slug] - others <= self.fitted[slug]:
                return False
        return True

    def shows_alone(self, slug: str) -> bool:
        """Whether a mistake explains something wrong that hardly any other touches."""
        told = self.touched[slug] & self.fitted[slug] - self.failed & set(self.wrong)
        return any(sum(i in each for each in self.touched.values()) <= FEW for i in told)

    @cached_property
    def failed(self) -> set[int]:
        """Which questions got no answer."""
        return {i for i, got in enumerate(self.got) if isinstance(got, Failure)}

    def agrees(self, way: Way, question: int) -> bool:
        """Whether a way gives the learner's answer to a question, and every mistake has a part."""
        if not all(question in self.touched[slug] for slug in way):
            return False
        asked = self.exercise.questions[question]
        wrong = reply(asked, self.exercise.solve(way))
        return isinstance(wrong, Mapping) and agree(self.got[question], wrong)

    def fits(self, way: Way) -> bool:
        """Whether a wrong way accounts for everything, and each mistake in it for something."""
        backed: set[str] = set()
        for i, wrong in enumerate(self.exercise.each_reply(way)):
            if i in self.failed and way & self.exercise.fragile:
                continue
            if not _fits(self.got[i], wrong, self.right[i]):
                return False
            if i in self.wrong:
                backed |= {slug for slug in way - backed if self.says_more(slug, i)}
        return backed == way

    def says_more(self, slug: str, question: int) -> bool:
        """Whether a mistake has something definite, and other than right, to say."""
        if question not in self.touched[slug]:
            return False
        wrong, right = self.exercise.replies(Way({slug}))[question], self.right[question]
        if isinstance(wrong, Mapping) and isinstance(right, Mapping):
            return any(not _is_unclear(v) and not close(v, right[n]) for n, v in wrong.items())
        return not isinstance(wrong, UnclearError)

    def leading(self, ways: list[Way]) -> list[Way]:
        """Those that explain most values, and of them those with fewest mistakes."""
        scores = {way: self.score(way) for way in ways}
        best = max(scores.values())
        leading = [way for way in ways if scores[way] == best]
        size = min(map(len, leading))
        return [way for way in leading if len(way) == size]

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
