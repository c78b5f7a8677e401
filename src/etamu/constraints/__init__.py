"""Constraints on coefficients: what users write, each of which binds to the columns of a design and becomes linear rows."""

from __future__ import annotations

from etamu.constraints.bind import Bound, Site, bind, clash, refuse_wishes, site_of
from etamu.constraints.linear import Linear
from etamu.constraints.shape import Concave, Convex, Monotone
from etamu.constraints.values import Box, Fixed, Sign

__all__ = ["Bound", "Box", "Concave", "Convex", "Fixed", "Linear", "Monotone", "Sign", "Site", "bind", "clash", "refuse_wishes", "site_of"]
