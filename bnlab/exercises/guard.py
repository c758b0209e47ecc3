"""Run a learner's code so that nothing it does harms: errors, endless loops, changed generators."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from bnlab.borrowing import same_random_numbers

Kind = Literal["not yet", "raises", "hangs", "nonsense"]
Result = TypeVar("Result")
SECONDS = 5.0
"""A learner's code gets for one question."""


@dataclass(frozen=True)
class Failure:
    """That a question got no answer, and why."""

    kind: Kind
    message: str
    error: type[BaseException] | None = None

    def __str__(self) -> str:
        return self.message


class NonsenseError(Exception):
    """Something came back that was not asked for; the message says what, and what was."""


class NotYetError(Exception):
    """Nothing came back: the exercise is not answered. A message says what was looked for."""


class _TooLong(BaseException):
    """The time is up. No `Exception`, which a learner's own `except` might swallow."""


def attempt(call: Callable[[], Result], seconds: float = SECONDS) -> Result | Failure:
    """Return what `call` returns, or why it returned nothing.

    It begins with gradients on, in float32 and with the same generator each time. In the main
    thread an alarm (`SIGALRM`) ends what takes too long. In other threads, and on Windows, there is
    no alarm to set: the call runs in a thread of its own, which is left behind when its time is up
    and works on until it ends or Python does.

    Args:
        call: Without arguments.
        seconds: Until it is given up.
    """
    try:
        return _within(seconds, lambda: _afresh(call))
    except _TooLong:
        return Failure("hangs", f"No answer within {seconds:g} seconds.")
    except NotYetError as error:
        return Failure("not yet", str(error) or NO_ANSWER)
    except NonsenseError as error:
        return Failure("nonsense", str(error))
    except (Exception, SystemExit) as error:
        # Torch raises the same where it has no kernel, which is a mistake to be shown.
        if isinstance(error, NotImplementedError) and "not implemented for" not in str(error):
            return Failure("not yet", NO_ANSWER)
        return Failure("raises", _say(error), type(error))


NO_ANSWER = "No answer comes out. Is something missing at the end, such as a `return`?"


def _say(error: BaseException) -> str:
    """Kind, first line and place of an error."""
    text = str(error).strip().splitlines()
    frames = traceback.extract_tb(error.__traceback__)
    # Where the learner's code is the last that is neither torch's nor ours.
    own = [f for f in frames if "/torch/" not in f.filename and "bnlab/exercises" not in f.filename]
    place = f"\nin: {own[-1].line}" if own and own[-1].line else ""
    return f"{type(error).__name__}: {text[0] if text else ''}{place}"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Put generators and torch's defaults back afterwards; begin with the usual ones."""
    dtype = torch.get_default_dtype()
    device = torch.get_default_device()
    # Entered only where it is needed, since it slows every call of torch.
    on_cpu = contextlib.nullcontext() if device.type == "cpu" else torch.device("cpu")
    with same_random_numbers(), on_cpu, torch.enable_grad():
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def _afresh(call: Callable[[], Result]) -> Result:
    # Grad mode belongs to a thread, and the call before may have changed the others.
    with torch.enable_grad():
        torch.set_default_dtype(torch.float32)
        torch.default_generator.manual_seed(0)
        return call()


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    main = threading.current_thread() is threading.main_thread()
    if main and hasattr(signal, "setitimer"):
        with _alarm(seconds):
            return call()
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["result"] = call()
        except BaseException as error:
            outcome["error"] = error

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        raise _TooLong
    if "error" in outcome:
        raise outcome["error"]
    result: Result = outcome["result"]
    return result


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _TooLong

    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            # Someone else's alarm, which was waiting, goes on; late rather than never.
            signal.setitimer(signal.ITIMER_REAL, left, interval)
