"""Results come in the order of their items, whoever makes them and however long it takes; what goes wrong is told in its turn."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etamu.ahead import in_turn

THREADS = [1, 2, 3, 8]


def collect(items, work, threads, into):
    with in_turn(items, work, threads) as results:
        for result in results:
            into.append(result)


@given(items=st.lists(st.integers(), max_size=30), threads=st.integers(1, 9))
def test_every_result_once_and_in_order(items, threads):
    with in_turn(iter(items), lambda k: (k, -k), threads) as results:
        assert list(results) == [(k, -k) for k in items]


@pytest.mark.parametrize("threads", THREADS)
def test_items_that_take_unequal_times_stay_in_order(threads):
    gates = [threading.Event() for _ in range(12)]

    def work(k):
        if k % 3 == 0 and threads > 1 and k + 1 < len(gates):
            gates[k + 1].wait(0.05)  # a later one may come first
        gates[k].set()
        return k

    with in_turn(range(12), work, threads) as results:
        assert list(results) == list(range(12))


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("bad", [0, 1, 7])
def test_an_error_of_the_work_comes_in_its_turn(threads, bad):
    seen = []

    def work(k):
        if k >= bad:
            raise ValueError(f"item {k}")
        return k

    with pytest.raises(ValueError, match=f"item {bad}"):
        collect(range(20), work, threads, seen)
    assert seen == list(range(bad))


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_of_the_items_comes_after_what_was_taken_before_it(threads):
    def items():
        yield from range(5)
        raise OSError("the file ends here")

    seen = []
    with pytest.raises(OSError, match="ends here"):
        collect(items(), lambda k: k, threads, seen)
    assert seen == list(range(5))


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_no_more_than_a_few_are_made_ahead(threads):
    taken = []

    def items():
        for k in range(100):
            taken.append(k)
            yield k

    with in_turn(items(), lambda k: k, threads) as results:
        for result in results:
            assert len(taken) <= result + 1 + threads + 2


@pytest.mark.parametrize(("threads", "most"), [(2, None), (2, 2), (3, 1), (8, None)])
def test_nobody_runs_ahead_of_a_slow_first_one(threads, most):
    """The one who asks is not the one who is slow here, and waits then instead of making all the others."""
    taken, limit = [], threads + 2 if most is None else most
    asking, gate = threading.current_thread(), threading.Event()

    def items():
        for k in range(200):
            taken.append(k)
            yield k

    def work(k):
        if threading.current_thread() is asking:
            helped.wait(0.01)  # lets the others have their turn
        elif not gate.is_set():
            helped.set()
            gate.wait(0.2)  # everybody else could make all the rest meanwhile
            assert len(taken) <= given[0] + 1 + limit  # the asking thread may be about to say that it has one more
            gate.set()
        return k

    helped, given = threading.Event(), [0]
    with in_turn(items(), work, threads, most) as results:
        for result in results:
            given[0] = result + 1
            assert len(taken) <= given[0] + 1 + limit  # the asking thread may be about to say that it has one more
    assert len(taken) == 200


@pytest.mark.parametrize("threads", THREADS)
def test_an_end_that_the_work_cries_is_an_error(threads):
    """A user's function that raises StopIteration must not make the sums shorter."""

    def work(k):
        if k == 2:
            raise StopIteration
        return k

    with pytest.raises(RuntimeError):
        collect(range(5), work, threads, [])


def test_a_process_ends_although_a_result_is_still_waiting():
    text = "from etamu.ahead import in_turn\ndef f():\n    with in_turn(iter(range(1000)), abs, 2) as r: yield from r\nkept = f()\nprint(next(kept))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_process_with_threads_at_work_ends():
    text = (
        "import os\nfrom etamu.ahead import in_turn\n"
        "with in_turn(iter(range(1000)), abs, 2) as r:\n    next(r)\n    child = os.fork()\n"
        "if child:\n    print(os.waitpid(child, 0)[1])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.parametrize("threads", THREADS)
def test_items_are_taken_by_one_thread_at_a_time(threads):
    busy = threading.Lock()

    def items():
        for k in range(50):
            assert busy.acquire(blocking=False)
            busy.release()
            yield k

    with in_turn(items(), lambda k: k, threads) as results:
        assert sum(results) == sum(range(50))


@pytest.mark.parametrize("threads", THREADS)
def test_who_leaves_early_leaves_nobody_at_work(threads):
    running = []

    def work(k):
        running.append(k)
        running.remove(k)
        return k

    with in_turn(iter(range(10**9)), work, threads) as results:
        assert next(results) == 0
    assert running == []
    before = threading.active_count()

    def fail():
        with in_turn(iter(range(10**9)), work, threads) as results:
            raise KeyError(next(results))

    with pytest.raises(KeyError):
        fail()
    assert running == []
    assert threading.active_count() <= before + threads


def test_one_within_another_and_beside_another():
    """The threads of the pool may all be busy: whoever asks does the work then."""

    def inner(k):
        with in_turn(range(k, k + 5), lambda j: j * j, 2) as results:
            return sum(results)

    expected = [sum(j * j for j in range(k, k + 5)) for k in range(20)]
    with in_turn(range(20), inner, 2) as first, in_turn(range(20), inner, 2) as second:
        assert list(zip(first, second, strict=True)) == [(v, v) for v in expected]


def test_warnings_of_numpy_are_those_of_who_asks():
    with np.errstate(all="raise"), pytest.raises(FloatingPointError), in_turn(range(8), lambda k: np.float64(1) / k, 2) as results:
        list(results)
