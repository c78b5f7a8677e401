"""Results in the order of their items, made by several threads ahead of whoever asks for them.

What takes long may lie in taking an item (a file is decoded), in the work on it (its rows are encoded and summed), or with who uses
the result (a scan); all three overlap, and no more than a few items are under way at a time.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

__all__ = ["in_turn"]

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def in_turn(items: Iterable[T], work: Callable[[T], R], threads: int, most: int | None = None) -> Iterator[Iterator[R]]:
    """``work(item)`` of every item, in their order, by that many threads, of which the one that asks is one.

    Items are taken by one thread at a time, so ``items`` may be a generator; ``work`` runs in several at once.  Up to ``most`` items have been
    taken and their results not yet been asked for (two more than there are threads).  What an item or the work on it raises is raised when its
    turn comes, and nothing after it is returned.  At the end of the context no thread is at work any more.

    >>> from etamu.ahead import in_turn
    >>> with in_turn(range(5), lambda k: k * k, threads=2) as squares:
    ...     list(squares)
    [0, 1, 4, 9, 16]
    """
    if threads < 2:
        yield (work(item) for item in items)
        return
    line = _Line(iter(items), work, threads + 2 if most is None else most)
    helpers = [threading.Thread(target=contextvars.copy_context().run, args=(line.help,), name="etamu-ahead", daemon=True) for _ in range(threads - 1)]
    begun = []
    try:
        with suppress(RuntimeError):  # no more threads to be had: fewer do the same work
            for helper in helpers:
                helper.start()
                begun.append(helper)
        yield line.results()
    finally:
        line.stop()
        if threading.current_thread() not in begun:  # where the collector of a helper ends what nobody asks for any more
            for helper in begun:
                helper.join()


class _Line(Generic[T, R]):
    """Items in line, and the results that wait for their turn."""

    def __init__(self, items: Iterator[T], work: Callable[[T], R], most: int) -> None:
        self.items, self.work, self.most = items, work, most
        self.taking = threading.Lock()
        self.changed = threading.Condition()
        self.taken = self.given = 0
        self.ended = False  # nothing further is taken
        self.done: dict[int, tuple[R, None] | tuple[None, BaseException]] = {}

    def stop(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def help(self) -> None:
        """Work on one item after another, a few ahead of those that are asked for."""
        while not self.ended:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self._room())
            self._make_one()

    def results(self) -> Iterator[R]:
        while True:
            with self.changed:  # if there is no room, a helper has the item whose turn it is
                self.changed.wait_for(lambda: self.given in self.done or self._room() or (self.ended and self.given == self.taken))
                here = self.done.pop(self.given, None)
                if here is not None:
                    self.given += 1
                    self.changed.notify_all()
                elif self.ended and self.given == self.taken:
                    return
            if here is None:
                self._make_one()
            elif here[1] is not None:
                raise here[1]
            else:
                yield here[0]

    def _room(self) -> bool:
        return not self.ended and self.taken - self.given < self.most

    def _make_one(self) -> None:
        """Take an item, if there is room and there is one, and do the work on it."""
        with self.taking:
            if not self._room():
                return
            number = self.taken
            try:
                item = next(self.items)
            except StopIteration:
                return self.stop()
            except BaseException as error:
                self.taken += 1
                self._put(number, (None, error))
                return self.stop()
            self.taken += 1
        try:
            self._put(number, (self.work(item), None))
        except BaseException as error:
            self._put(number, (None, error))
            self.stop()

    def _put(self, number: int, result: tuple[R, None] | tuple[None, BaseException]) -> None:
        with self.changed:
            self.done[number] = result
            self.changed.notify_all()
