"""Several solvers at once: over sums, each asks for those of its own rows, and rows are read once for all that wait; else side by side.

Solvers run in threads of their own and stop at each request; when every solver that is still at work waits, the rows are read part by part
and each part is summed for each of them.  So k folds of a file cost about the passes of one fit, not k times as many.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed
from etamu.sums import Objective, Request, Sums

__all__ = ["fold_of", "in_lockstep", "over_rows", "side_by_side"]

Array = np.ndarray[Any, Any]
Weigh = Callable[[Problem, int], Problem]  # the part of a solver's problem that a part of the rows is, whose first row has that number


def fold_of(first: int, count: int, k: int, seed: int) -> Array:
    """A fold for each of the rows from number ``first`` on, by a hash of the number: the same whatever the parts are."""
    with np.errstate(over="ignore"):
        z = np.arange(first, first + count, dtype=np.uint64) + np.uint64(seed % 2**32) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray((z ^ (z >> np.uint64(31))) % np.uint64(k), dtype=np.int64)


class _Desk:
    """Where solvers hand in requests and wait for sums."""

    def __init__(self, count: int) -> None:
        self.turn = threading.Condition()
        self.at_work = count
        self.requests: dict[int, Any] = {}
        self.answers: dict[int, Any] = {}
        self.failure: BaseException | None = None

    def ask(self, k: int, request: Any) -> Any:
        with self.turn:
            self.requests[k] = request
            self.turn.notify_all()
            self.turn.wait_for(lambda: k in self.answers or self.failure is not None)
            if self.failure is not None:
                raise self.failure
            return self.answers.pop(k)

    def leave(self) -> None:
        with self.turn:
            self.at_work -= 1
            self.turn.notify_all()

    def serve(self, scan: Callable[[dict[int, Any]], dict[int, Any]]) -> None:
        """Answer until nobody is at work."""
        while True:
            with self.turn:
                self.turn.wait_for(lambda: len(self.requests) >= self.at_work)
                if not self.at_work:
                    return
                asked, self.requests = self.requests, {}
            try:
                found = scan(asked)
            except BaseException as error:
                with self.turn:
                    self.failure = error
                    self.turn.notify_all()
                raise
            with self.turn:
                self.answers.update(found)
                self.turn.notify_all()


def in_lockstep(count: int, solve: Callable[[int, Callable[[Any], Any]], Any], answer: Callable[[dict[int, Any]], dict[int, Any]]) -> list[Any]:
    """The results of ``solve(k, ask)`` for k from 0 to ``count`` - 1; what they ask is answered together, when all that are at work wait."""
    desk, results = _Desk(count), [None] * count
    errors: list[BaseException] = []

    @np.errstate(all="ignore")
    def work(k: int) -> None:
        try:
            results[k] = solve(k, lambda request: desk.ask(k, request))
        except BaseException as error:
            errors.append(error)
        finally:
            desk.leave()

    crew = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(count)]
    for member in crew:
        member.start()
    try:
        desk.serve(answer)
    finally:
        for member in crew:
            member.join()
    if errors:
        raise errors[0]
    return results


def over_rows(problem: Problem | Streamed, parts: list[Weigh], solve: Callable[[int, Objective], Any], threads: int | None) -> list[Any]:
    """The results of ``solve(k, objective_k)`` for each of the ``parts``, whose objectives sum what parts[k] makes of the rows."""

    def scan(asked: dict[int, Request]) -> dict[int, Sums]:
        found: dict[int, Sums] = {}
        first = 0
        for part in problem.batches():
            for k, request in asked.items():
                sums = Memory(parts[k](part, first), threads).sum(request)
                found[k] = found[k] + sums if k in found else sums
            first += part.rows
        return found

    return in_lockstep(len(parts), solve, scan)


def side_by_side(count: int, solve: Callable[[int, int], Any], threads: int, most: int) -> list[Any]:
    """The results of ``solve(k, threads_k)`` for k from 0 to ``count`` - 1: so many at once at most, which share the threads evenly."""
    results: list[Any] = []
    while len(results) < count:
        first, crew = len(results), min(most, threads, count - len(results))

        @np.errstate(all="ignore")
        def work(k: int, own: int = threads // max(crew, 1)) -> Any:
            return solve(k, own)

        if crew < 2:
            results.append(work(first))
            continue
        with ThreadPoolExecutor(crew) as pool:
            results += pool.map(work, range(first, first + (count - first) // crew * crew))
    return results
