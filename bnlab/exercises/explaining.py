"""Find the mistakes that explain what a learner's code does.

A correct solution is written out in steps, each of which can also be taken in a known wrong way. It
is asked the same questions as the learner's code, right and with every mistake and every two of
them. What gives the same answers names the mistake: there is no rule for any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

from torch import Tensor

from bnlab.exercises.asking import (
    RIGHT,
    Answers,
    BrokenError,
    Exercise,
    Reply,
    UnclearError,
    Value,
    Way,
    close,
    reply,
    same_reply,
)
from bnlab.exercises.guard import Failure


def _fits(got: Reply, wrong: Reply, right: Reply) -> bool:
    """Whether a wrong way accounts for one reply."""
    if isinstance(wrong, UnclearError):
        return True
    if isinstance(wrong, BrokenError):
        return not same_reply(got, right)
    if isinstance(wrong, Mapping) and any(map(_is_unclear, wrong.values())):
        return isinstance(got, Mapping) and all(
            _is_unclear(value) or close(got[name], value) for name, value in wrong.items()
        )
    return same_reply(got, wrong)


def _is_unclear(value: Value) -> bool:
    """Whether a wrong way leaves a value open, which then is NaN."""
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().all())


@dataclass(frozen=True)
class Case:
    """A learner's answers, and what to hold them against."""

    exercise: Exercise
    got: list[Answers | Failure]
    right: list[Reply]
    known: dict[tuple[str, int], bool] = field(default_factory=dict)

    def explain(self) -> tuple[Way, bool, str]:
        """Return the mistakes, whether they explain everything, and what is not sure."""
        pairs = [Way(pair) for pair in combinations(self.slugs, 2)]
        singles = [Way({slug}) for slug in self.slugs]
        for ways in singles, pairs:
            whole = [way for way in ways if self.may_fit(way) and self.fits(way)]
            if whole:
                # Those that say most of what was seen, where others leave it open.
                return self.common(self.leading(whole))
        # More than two: all that do nothing but what was seen, and one or two beside them.
        base = Way(slug for slug in self.slugs if self.is_seen(slug))
        for way in (base | other for other in (RIGHT, *singles, *pairs)):
            if len(way) > 2 and self.may_fit(way) and self.fits(way):
                return self.shrink(way), True, ""
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
        return [i for i in range(len(self.got)) if not same_reply(self.got[i], self.right[i])]

    @cached_property
    def touched(self) -> dict[str, set[int]]:
        """Which questions a mistake answers other than right."""
        alone = {slug: self.exercise.replies(Way({slug})) for slug in self.slugs}
        return {
            slug: {i for i, right in enumerate(self.right) if replies[i] is not right}
            for slug, replies in alone.items()
        }

    def accounts(self, slug: str, questions: set[int]) -> bool:
        """Whether a mistake, alone, answers some questions as the learner's code does."""
        for i in questions:
            if (slug, i) not in self.known:
                alone = self.exercise.replies(Way({slug}))[i]
                self.known[slug, i] = _fits(self.got[i], alone, self.right[i])
            if not self.known[slug, i]:
                return False
        return True

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
            if not self.accounts(slug, self.touched[slug] - others):
                return False
        return True

    def is_seen(self, slug: str) -> bool:
        """Whether everything that a mistake does was seen."""
        touched = self.touched[slug]
        return touched <= set(self.wrong) and self.accounts(slug, touched)

    def shrink(self, way: Way) -> Way:
        """Leave out what is not needed to explain everything."""
        for slug in self.slugs:
            if slug in way and self.fits(way - {slug}):
                way -= {slug}
        return way

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
        return isinstance(wrong, Mapping) and same_reply(self.got[question], wrong)

    def fits(self, way: Way) -> bool:
        """Whether a wrong way accounts for everything, and each mistake in it for something."""
        backed: set[str] = set()
        for i, wrong in enumerate(self.exercise.each_reply(way)):
            if i in self.failed and way & self.exercise.fragile:
                continue
            if not _fits(self.got[i], wrong, self.right[i]):
                return False
            if i in self.wrong:
                backed |= {slug for slug in way - backed if self.says(slug, i, wrong)}
        return bool(way) and backed == way

    def says(self, slug: str, question: int, together: Reply) -> bool:
        """Whether a mistake has something definite to say that is not right, and is not overruled.

        Args:
            slug: Of the mistake.
            question: Its place.
            together: What comes of it with all mistakes of the explanation.
        """
        alone, right = self.exercise.replies(Way({slug}))[question], self.right[question]
        if question not in self.touched[slug] or isinstance(together, UnclearError):
            return False
        if isinstance(alone, Mapping) and isinstance(right, Mapping):
            return not isinstance(together, BrokenError) and any(
                not _is_unclear(value) and not close(value, right[name])
                for name, value in alone.items()
            )
        return not isinstance(alone, UnclearError)

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
