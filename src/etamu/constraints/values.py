"""Constraints on coefficients one at a time: bounds, signs, values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.constraints.bind import Bound, Site, number
from etamu.errors import LengthError, SpecificationError

__all__ = ["Box", "Fixed", "Sign"]

Array = np.ndarray[Any, Any]
_OPEN = {"lower": -np.inf, "upper": np.inf}


@dataclass(frozen=True)
class Box:
    """Bounds ``lower <= b <= upper`` on coefficients.

    Parameters
    ----------
    lower, upper : a number for every coefficient but the intercept; an array of shape (p,) with one for each, in the order of
        ``fit.names`` (-inf and inf where there is none); or a dict by the name of a coefficient or a term.

    References
    ----------
    Silvapulle & Sen (2005), *Constrained Statistical Inference*, doi:10.1002/9781118165614.

    Examples
    --------
    >>> import etamu as em
    >>> data = {"x": [0.0, 1, 2, 3], "z": [0.0, 1, 0, 1], "y": [3.0, 2, 2, 0]}
    >>> fit = em.glm("y ~ x + z", data, constraints=em.Box(lower=0))
    >>> fit.coef
    array([1.75, 0.  , 0.  ])
    >>> print(fit.active)
    x >= 0  (multiplier 4.5)
    z >= 0  (multiplier 1.5)
    """

    lower: Any = None
    upper: Any = None

    def __post_init__(self) -> None:
        if self.lower is None and self.upper is None:
            raise SpecificationError("`Box` has neither `lower` nor `upper`; pass at least one of them.")
        for end in ("lower", "upper"):
            object.__setattr__(self, end, _read(end, getattr(self, end)))
        if isinstance(self.lower, float) and isinstance(self.upper, float) and self.lower > self.upper:
            raise SpecificationError(f"`lower` of Box is {self.lower:g}, above `upper`, {self.upper:g}; swap them, or let them meet.")

    def rows(self, site: Site) -> Bound:
        """One row per bounded coefficient."""
        low, high = ends(self, site)
        bounded = np.flatnonzero(np.isfinite(low) | np.isfinite(high))
        found = [(_unit(j, site.width), low[j], high[j], _words(site.names[j], low[j], high[j])) for j in map(int, bounded)]
        return Bound.of("Box", found, site.width)


def ends(box: Box, site: Site) -> tuple[Array, Array]:
    """Lower and upper end of every coefficient, checked."""
    low, high = (_ends(end, getattr(box, end), site) for end in ("lower", "upper"))
    wrong = np.flatnonzero(low > high)
    if len(wrong):
        j = int(wrong[0])
        raise SpecificationError(f"`Box` bounds {site.names[j]!r} from {low[j]:g} below and {high[j]:g} above, which no number meets; swap them.")
    for end, values, never in (("lower", low, np.inf), ("upper", high, -np.inf)):
        if (values == never).any():
            raise SpecificationError(f"`{end}` of Box is {never} for {site.names[int(np.argmax(values == never))]!r}; pass a finite number, or {-never}.")
    return low, high


def _read(end: str, given: Any) -> Any:
    """A float, a tuple of floats, a dict of floats, or None."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {name: number(f"{end}[{name!r}]", value, infinite=True) for name, value in given.items()}
    if isinstance(given, (list, tuple, np.ndarray)) and np.ndim(given) > 0:
        if np.ndim(given) != 1:
            raise SpecificationError(f"`{end}` of Box has {np.ndim(given)} dimensions; pass one number per coefficient.")
        return tuple(number(f"{end}[{j}]", value, infinite=True) for j, value in enumerate(given))
    return number(end, given.item() if isinstance(given, np.ndarray) else given, infinite=True)


def _ends(end: str, given: Any, site: Site) -> Array:
    """One bound for each coefficient, infinite where there is none."""
    out = np.full(site.width, _OPEN[end])
    if isinstance(given, float):
        out[:] = given
        if site.intercept is not None:
            out[site.intercept] = _OPEN[end]
    elif isinstance(given, tuple):
        if len(given) != site.width:
            raise LengthError(f"`{end}` of Box has {len(given)} numbers but the model has {site.width} coefficients; pass one each, the intercept's first.")
        out[:] = given
    elif given is not None:
        for name, value in given.items():
            out[site.positions(end, name)] = value
    return out


def _words(name: str, low: float, high: float) -> str:
    if low == high:
        return f"{name} = {low:g}"
    if not np.isfinite(high):
        return f"{name} >= {low:g}"
    return f"{name} <= {high:g}" if not np.isfinite(low) else f"{low:g} <= {name} <= {high:g}"


def _unit(j: int, size: int) -> Array:
    out = np.zeros(size)
    out[j] = 1.0
    return out


@dataclass(frozen=True)
class Sign:
    """Coefficients that may not be negative, and such that may not be positive, by the names of coefficients or terms.

    Examples
    --------
    >>> import etamu as em
    >>> data = {"x": [0.0, 1, 2, 3], "y": [3.0, 2, 2, 0]}
    >>> em.glm("y ~ x", data, constraints=em.Sign(positive=["x"])).coef
    array([1.75, 0.  ])
    """

    positive: Any = ()
    negative: Any = ()

    def __post_init__(self) -> None:
        for side in ("positive", "negative"):
            given = getattr(self, side)
            names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Sequence) else None
            if names is None or not all(isinstance(name, str) for name in names):
                raise SpecificationError(f"`{side}` of Sign is {given!r}; pass a list of names of coefficients or terms.")
            object.__setattr__(self, side, names)
        if not (self.positive or self.negative):
            raise SpecificationError("`Sign` names no coefficient; pass positive=[...] or negative=[...].")
        both = [name for name in self.positive if name in self.negative]
        if both:
            raise SpecificationError(f"`Sign` calls {both[0]!r} positive and negative; name it once, or use em.Fixed({{{both[0]!r}: 0}}).")

    def rows(self, site: Site) -> Bound:
        """One row per coefficient."""
        up = [(_unit(j, site.width), 0.0, np.inf, f"{site.names[j]} >= 0") for name in self.positive for j in site.positions("positive", name)]
        down = [(_unit(j, site.width), -np.inf, 0.0, f"{site.names[j]} <= 0") for name in self.negative for j in site.positions("negative", name)]
        return Bound.of("Sign", up + down, site.width)


@dataclass(frozen=True)
class Fixed:
    """Coefficients of known value, by name; a term's name fixes all of its coefficients.

    The same fit as with the columns times their values in the offset.

    Examples
    --------
    >>> import etamu as em
    >>> data = {"x": [0.0, 1, 2, 3], "y": [0.0, 2, 2, 4]}
    >>> em.glm("y ~ x", data, constraints=em.Fixed({"x": 1.0})).coef
    array([0.5, 1. ])
    """

    values: Mapping[str, float]

    def __post_init__(self) -> None:
        if not isinstance(self.values, Mapping) or not self.values:
            raise SpecificationError(f"`Fixed` takes {self.values!r}; pass a dict of coefficients and their values, such as {{'x': 1.0}}.")
        object.__setattr__(self, "values", {name: number(f"Fixed[{name!r}]", value) for name, value in self.values.items()})

    def rows(self, site: Site) -> Bound:
        """One row per coefficient."""
        found = [
            (_unit(j, site.width), value, value, f"{site.names[j]} = {value:g}") for name, value in self.values.items() for j in site.positions("Fixed", name)
        ]
        return Bound.of("Fixed", found, site.width)
