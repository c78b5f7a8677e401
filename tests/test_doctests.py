"""Every example in a docstring runs and gives what it shows."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import etamu

MODULES = ["etamu", *sorted(m.name for m in pkgutil.walk_packages(etamu.__path__, "etamu.") if not m.name.endswith(("._native", ".__main__")))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    with np.printoptions(legacy=False):
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


PUBLIC = [
    (f"{space.__name__}.{name}", getattr(space, name))
    for space in (etamu, etamu.families, etamu.links, etamu.solvers, etamu.datasets)
    for name in space.__all__
    if callable(getattr(space, name)) and not isinstance(getattr(space, name), dict)
]
# documented where they are used: interfaces without an example of their own, and plain results
WITHOUT_EXAMPLE = {"Fit", "Solution", "Status", "Step", "Trace", "Simulated", "resolve_family", "resolve_link", "resolve_solver", "Mean", "Interval", "load"}


@pytest.mark.parametrize(("name", "thing"), PUBLIC, ids=[n for n, _ in PUBLIC])
def test_every_public_thing_has_a_runnable_example(name, thing):
    assert thing.__doc__, f"{name} has no docstring"
    if name.rpartition(".")[2] not in WITHOUT_EXAMPLE:
        assert ">>>" in thing.__doc__, f"{name} has no example"
