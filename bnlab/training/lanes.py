"""Tasks on all cores: this process works, and others join it once they have started."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import Queue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = 0.25
"""Seconds before other processes are started, which takes them some more."""
IDLE = 60
"""Seconds for which a process with nothing to do waits for the next sweep."""
MOST = 4
"""Processes, each of which holds torch."""


def work(do: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R]]:
    """Yield each task with what `do` makes of it, in any order.

    A short list is done here, before another process would have started. What another process fails
    at is done again here, so that an error is raised where it can be looked into.

    Example:
        >>> sorted(work(abs, [-1, 2, -3]))
        [(-3, 3), (-1, 1), (2, 2)]
    """
    lanes = _Lanes(do, tasks)
    left = len(tasks)
    try:
        while left:
            for task, result in lanes.arrived(wait=not lanes.waiting):
                yield task, do(task) if result is None else result[0]
                left -= 1
            if (next_ := lanes.take()) is not None:
                yield next_[0], do(next_[0])
                left -= 1
    except BaseException:
        lanes.kill()
        raise
    finally:
        lanes.waiting.clear()
        lanes.over.set()


class _Lanes(Generic[T, R]):
    """The other processes: a thread for each, which hands it tasks and waits for the results."""

    def __init__(self, do: Callable[[T], R], tasks: Sequence[T]) -> None:
        self.do = do
        self.waiting = deque(tasks)
        self.inbox: Queue[tuple[T, tuple[R] | None]] = Queue()
        self.over = Event()
        self.executor: Any = None
        Thread(target=self._open, daemon=True).start()

    def arrived(self, *, wait: bool) -> Iterator[tuple[T, tuple[R] | None]]:
        """What has come back by now; at least one, if there is nothing else to do."""
        if wait:
            yield self.inbox.get()
        while not self.inbox.empty():
            yield self.inbox.get()

    def take(self) -> tuple[T] | None:
        """The next task; None if there is none, since another thread was quicker."""
        try:
            return (self.waiting.popleft(),)
        except IndexError:
            return None

    def kill(self) -> None:
        """Stop the other processes at once; what they have finished is on disk."""
        if self.executor is not None:
            self.executor.shutdown(wait=False, kill_workers=True)

    def _open(self) -> None:
        if self.over.wait(PATIENCE):
            return
        import joblib
        from joblib.externals.loky import get_reusable_executor

        others = min(MOST, joblib.cpu_count()) - 1
        if others < 1:
            return
        self.executor = get_reusable_executor(max_workers=others, timeout=IDLE)
        for _ in range(others):
            Thread(target=self._lane, daemon=True).start()

    def _lane(self) -> None:
        try:
            # The first task is taken when the process is there: until then, others may do it.
            self.executor.submit(_ready).result()
        except BaseException:
            return
        while not self.over.is_set() and (next_ := self.take()) is not None:
            (task,) = next_
            try:
                self.inbox.put((task, (self.executor.submit(self.do, task).result(),)))
            except BaseException:
                self.inbox.put((task, None))
                return


def _ready() -> None:
    """Load what every task needs."""
    import bnlab.training  # noqa: F401
