"""Code that is given broken: nothing is said of it until somebody has changed it."""

from __future__ import annotations

import hashlib
import inspect
import io
import linecache
import tokenize
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from bnlab.exercises.verdict import Hint, Verdict

AS_GIVEN = "This is the code as it was given. verdict.hint() asks you a question about it."


def mended(check: Callable[[Any], Verdict], answer: Any, *, was: str) -> Verdict:
    """Check code that was given with a bug in it, once it is other code.

    As long as it is the code as given, the verdict is "not yet" and keeps the mistake to itself;
    its hints are about that mistake all the same. Afterwards the verdict is the checker's, and
    names what is still wrong.

    Args:
        check: A checker, such as `check_forward`.
        answer: The learner's function or class.
        was: The digest of the notebook cell in which it was given.

    Example:
        >>> from bnlab.exercises import check_running_update
        >>> def move(running_mean, running_var, x, momentum):
        ...     cells = x.detach().movedim(1, 0).flatten(1)
        ...     mean, var = cells.mean(1), cells.var(1, correction=0)
        ...     return running_mean.lerp(mean, momentum), running_var.lerp(var, momentum)
        >>> given = digest('''
        ... def move(running_mean, running_var, x, momentum):
        ...     cells = x.detach().movedim(1, 0).flatten(1)  # (C, n)
        ...     mean, var = cells.mean(1), cells.var(1, correction=0)
        ...     return running_mean.lerp(mean, momentum), running_var.lerp(var, momentum)
        ... ''')
        >>> verdict = mended(check_running_update, move, was=given)
        >>> verdict.status, verdict.mistakes
        ('not yet', ())
        >>> print(verdict.hint()[:55])
        Running statistics stand for the population. Which esti
        >>> mended(check_running_update, move, was=digest("other = 'code'")).mistakes
        ('biased-storing',)
    """
    if digest(_source(answer)) != was:
        return check(answer)
    exercise = check.__name__.removeprefix("check_").replace("_", " ")
    return _AsGiven(exercise, "not yet", remark=AS_GIVEN, ask=lambda: check(answer))


def digest(source: str) -> str:
    """Return eight letters for a source; empty lines, spaces and comments do not count.

    Args:
        source: Of a whole cell.

    Example:
        >>> digest("y = x+1  # more") == digest("y = x + 1"), digest("y = x + 1")
        (True, '5c3c3d9f')
    """
    tokens = tokenize.generate_tokens(io.StringIO(source.strip() + "\n").readline)
    # By its kind where the text is empty space, whose width says nothing.
    text = " ".join(
        tokenize.tok_name[each.type] if not each.string.strip() else each.string
        for each in tokens
        if each.type not in (tokenize.COMMENT, tokenize.NL)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(eq=False, repr=False)
class _AsGiven(Verdict):
    """Says nothing of its own accord, and hints at what it would say."""

    ask: Callable[[], Verdict] | None = None
    _asked_verdict: Verdict | None = field(default=None, init=False)

    def hint(self) -> Hint:
        """As `Verdict.hint`, about what is wrong with the code as given."""
        if self._asked_verdict is None and self.ask is not None:
            self._asked_verdict = self.ask()
        return super().hint() if self._asked_verdict is None else self._asked_verdict.hint()


def _source(answer: Any) -> str:
    """The source of the cell that a function or a class comes from; "" if nobody has kept it.

    `inspect.getsource` finds no class that a notebook defines, but its methods know their cell.
    """
    inner = inspect.unwrap(answer) if callable(answer) else answer
    parts = [inner, *(vars(inner).values() if isinstance(inner, type) else ())]
    for part in parts:
        if isinstance(part, FunctionType):
            return "".join(linecache.getlines(part.__code__.co_filename))
    return ""
