"""etamu: generalized linear models as one idea, X @ theta -> eta -> mu, summed over rows.

>>> import etamu as em
>>> fit = em.glm("lot1 ~ log(u)", em.datasets.clotting(), family="gamma")
>>> round(fit.deviance, 5)
0.01673
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etamu import errors, families, links, solvers
from etamu.families import Family
from etamu.fit import fit, glm, separation
from etamu.links import Link
from etamu.model import Fit
from etamu.solvers import Control
from etamu.versions import show_versions

if TYPE_CHECKING:
    from etamu import datasets, measures, vcov
    from etamu.constraints import Box, Concave, Convex, Fixed, Linear, Monotone, Sign
    from etamu.folding import folds
    from etamu.path import glm_path
    from etamu.penalties import MCP, SCAD, AdaptiveLasso, ElasticNet, Fused, GroupLasso, Lasso, Quadratic, Ridge, SparseGroupLasso
    from etamu.splitting import split_inference
    from etamu.stability import stability_selection
    from etamu.validation import cross_validate

__version__ = "0.1.0"
__all__ = [
    "MCP",
    "SCAD",
    "AdaptiveLasso",
    "Box",
    "Concave",
    "Control",
    "Convex",
    "ElasticNet",
    "Family",
    "Fit",
    "Fixed",
    "Fused",
    "GroupLasso",
    "Lasso",
    "Linear",
    "Link",
    "Monotone",
    "Quadratic",
    "Ridge",
    "Sign",
    "SparseGroupLasso",
    "__version__",
    "add1",
    "cross_validate",
    "datasets",
    "derive",
    "encode",
    "errors",
    "families",
    "fit",
    "folds",
    "glm",
    "glm_path",
    "links",
    "load",
    "measures",
    "separation",
    "show_versions",
    "solvers",
    "split_inference",
    "stability_selection",
    "vcov",
]


_LATER = {
    **dict.fromkeys(("Box", "Concave", "Convex", "Fixed", "Linear", "Monotone", "Sign"), "etamu.constraints"),
    **dict.fromkeys(
        ("MCP", "SCAD", "AdaptiveLasso", "ElasticNet", "Fused", "GroupLasso", "Lasso", "Quadratic", "Ridge", "SparseGroupLasso"), "etamu.penalties"
    ),
    "glm_path": "etamu.path",
    "cross_validate": "etamu.validation",
    "folds": "etamu.folding",
    "split_inference": "etamu.splitting",
    "stability_selection": "etamu.stability",
}


def __getattr__(name: str) -> Any:
    """Rooms that most programs never enter are opened when first named."""
    if name in ("constraints", "datasets", "measures", "penalties", "vcov"):
        return import_module(f"etamu.{name}")
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'etamu' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def add1(fit: Fit, scope: str, test: str | None = None) -> Any:
    """The fit with each term of ``scope`` that it lacks, one at a time; see :func:`etamu.selection.add1`.

    >>> import etamu as em
    >>> em.add1(em.glm("breaks ~ wool", em.datasets.warpbreaks(), family="poisson"), "tension").columns["term"]
    ['<none>', 'tension']
    """
    from etamu.inference.after import refuse_penalised
    from etamu.selection import add1 as add

    refuse_penalised(fit, "add1")
    return add(fit, scope, test)


def derive(log_partition: str, *, name: str | None = None, dispersion: str | None = None, **parameters: float) -> Any:
    """What follows from a log-partition, and a family that fits; see :func:`etamu.derivation.derive`.

    >>> import etamu as em
    >>> em.derive("exp(theta)").mean
    'exp(theta)'
    """
    from etamu.derivation import derive as read

    return read(log_partition, name=name, dispersion=dispersion, **parameters)


def load(path: Any) -> Fit:
    """Read a model written by ``fit.save``."""
    from etamu.export.json import load as read

    return read(path)


def encode(formula: str, data: Any) -> Any:
    """The encoded design of a formula on a table, which ``em.fit`` takes as X.

    >>> import etamu as em
    >>> em.encode("~ x + g", {"x": [1.0, 2.0], "g": ["a", "b"]}).names
    ['Intercept', 'x', 'g[b]']
    """
    from etamu.design.encode import encode as encode_table
    from etamu.design.encode import learn
    from etamu.design.frames import as_table
    from etamu.design.terms import read_formula

    table = as_table(data)
    return encode_table(learn(read_formula(formula), table), table)
