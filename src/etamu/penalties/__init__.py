"""Penalties of coefficients: one file per idea; ``PENALTIES`` is the table of them."""

from etamu.penalties.base import Both, Penalty
from etamu.penalties.concave import MCP, SCAD
from etamu.penalties.elastic_net import AdaptiveLasso, ElasticNet, Lasso, Ridge
from etamu.penalties.fused import Fused
from etamu.penalties.group import GroupLasso, SparseGroupLasso
from etamu.penalties.pieces import Columns, Pieces
from etamu.penalties.quadratic import Quadratic

PENALTIES = {
    "elastic_net": ElasticNet,
    "lasso": Lasso,
    "ridge": Ridge,
    "adaptive_lasso": AdaptiveLasso,
    "group_lasso": GroupLasso,
    "sparse_group_lasso": SparseGroupLasso,
    "fused": Fused,
    "mcp": MCP,
    "scad": SCAD,
    "quadratic": Quadratic,
}

__all__ = [
    "MCP",
    "PENALTIES",
    "SCAD",
    "AdaptiveLasso",
    "Both",
    "Columns",
    "ElasticNet",
    "Fused",
    "GroupLasso",
    "Lasso",
    "Penalty",
    "Pieces",
    "Quadratic",
    "Ridge",
    "SparseGroupLasso",
]
