"""Small published tables, and seeded simulations with known coefficients.

Tables are dicts of NumPy arrays, ready for ``em.glm``.
"""

from __future__ import annotations

from etamu.datasets.classics import beetles, clotting, orings, ships, ucb_admissions, warpbreaks
from etamu.datasets.insurance import make_insurance
from etamu.datasets.simulate import (
    Simulated,
    make_gamma,
    make_inverse_gaussian,
    make_linear,
    make_logistic,
    make_negative_binomial,
    make_poisson,
    make_softmax,
    make_tweedie,
    make_X,
    one_hot,
)

__all__ = [
    "CLASSICS",
    "Simulated",
    "beetles",
    "clotting",
    "make_X",
    "make_gamma",
    "make_insurance",
    "make_inverse_gaussian",
    "make_linear",
    "make_logistic",
    "make_negative_binomial",
    "make_poisson",
    "make_softmax",
    "make_tweedie",
    "one_hot",
    "orings",
    "ships",
    "ucb_admissions",
    "warpbreaks",
]

CLASSICS = {f.__name__: f for f in (beetles, clotting, orings, ships, ucb_admissions, warpbreaks)}
