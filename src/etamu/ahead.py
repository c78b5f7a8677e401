"""Results in the order of their items, made by several threads ahead of whoever asks for them.

What takes long may lie in taking an item (a file is decoded), in the work on it (its rows are encoded and summed), or with who uses
the result (a scan); all three overlap, and no more than a few items are under way at a time.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Generic, TypeVar

__all__ = ["in_turn"]

T = TypeVar("T")
R = TypeVar("R")


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="etamu")


os.register_at_fork(after_in_child=_pool.cache_clear) if hasattr(os, "register_at_fork") else None


@contextmanager
def in_turn(items: Iterable[T], work: Callable[[T], R], threads: int) -> Iterator[Iterator[R]]:
    """``work(item)`` of every item, in their order, by that many threads, of which the one that asks is one.

    Items are taken by one thread at a time, so ``items`` may be a generator.  What an item or the work on it raises is raised when its
    turn comes, and nothing after it is returned.  At the end of the context no thread is at work any more.

    >>> from etamu.ahead import in_turn
    >>> with in_turn(range(5), lambda k: k * k, threads=2) as squares:
    ...     list(squares)
    [0, 1, 4, 9, 16]
    """
    if threads < 2:
        yield map(work, items)
        return
    line = _Line(iter(items), work, threads + 2)
    helpers: list[Future[None]] = []
    try:
        for _ in range(threads - 1):
            helpers.append(_pool(threads - 1).submit(contextvars.copy_context().run, line.help))
        yield line.results()
    finally:
        line.stop()
        for helper in helpers:
            if not helper.cancel():  # one that has not begun, since others keep the pool busy, is not waited for
                helper.result()


class _Line(Generic[T, R]):
    """Items in line, and the results that wait for their turn."""

    def __init__(self, items: Iterator[T], work: Callable[[T], R], most: int) -> None:
        self.items, self.work, self.most = items, work, most
        self.taking = threading.Lock()
        self.changed = threading.Condition()
        self.taken = self.given = 0
        self.ended = False  # no further items
        self.done: dict[int, tuple[R, None] | tuple[None, BaseException]] = {}

    def stop(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def help(self) -> None:
        """Work on one item after another, a few ahead of those that are asked for."""
        while self._may_go_on() and self._make_one():
            pass

    def _may_go_on(self) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.taken - self.given < self.most)
            return not self.ended

    def results(self) -> Iterator[R]:
        while True:
            with self.changed:
                if self.given not in self.done and self.ended:
                    if self.given == self.taken:
                        return
                    self.changed.wait_for(lambda: self.given in self.done)
                here = self.done.pop(self.given, None)
                if here is not None:
                    self.given += 1
                    self.changed.notify_all()
            if here is None:
                self._make_one()
            elif here[1] is not None:
                raise here[1]
            else:
                yield here[0]

    def _make_one(self) -> bool:
        """Take an item and do the work on it; whether there was one."""
        with self.taking:
            if self.ended:
                return False
            number = self.taken
            try:
                item = next(self.items)
            except StopIteration:
                self.stop()
                return False
            except BaseException as error:
                self.taken += 1
                self._put(number, (None, error))
                self.stop()
                return False
            self.taken += 1
        try:
            self._put(number, (self.work(item), None))
        except BaseException as error:
            self._put(number, (None, error))
            self.stop()
        return True

    def _put(self, number: int, result: tuple[R, None] | tuple[None, BaseException]) -> None:
        with self.changed:
            self.done[number] = result
            self.changed.notify_all()
