"""Shared settings: hypothesis runs the same examples every time; and instruction sets."""

import pytest
from hypothesis import HealthCheck, settings

from etamu.core import core

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


@pytest.fixture(params=["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def kernel(request):
    """Each instruction set that this machine has, in use."""
    if core is None:
        pytest.skip("built without a compiler")
    before = core.instruction_set()
    try:
        core.use(request.param)
    except ValueError:
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    core.use(before)
