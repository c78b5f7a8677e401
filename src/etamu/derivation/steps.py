"""What follows from a log-partition, step by step: the mean, the variance, the link, the deviance, in words and in LaTeX."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy

from etamu.derivation.expression import THETA
from etamu.derivation.family import Derived
from etamu.derivation.known import Recognised
from etamu.derivation.simplify import inverse, separate_logs, shortest
from etamu.families import Family, Interval
from etamu.links import Link

__all__ = ["Derivation", "Step"]


@dataclass(frozen=True)
class Step:
    """One step: what is found, its formula as text and as LaTeX, and why."""

    name: str
    formula: str
    latex: str
    words: str


@dataclass(frozen=True, eq=False)
class Derivation:
    """All that a log-partition implies; print it to read it as a lesson.

    Attributes
    ----------
    family : a working :class:`~etamu.Family`, the built-in one where it is the same distribution.
    generic : the family made of the log-partition alone, whether or not it was recognised.
    recognised : what it is known as, or None.
    log_partition, mean, variance, link, unit_deviance : formulas as text (``link`` and those in the mean are None without a closed form).
    latex : the same as LaTeX, by name.
    steps : the derivation, one :class:`Step` after another.
    space, mean_space, support : intervals of theta, of the mean, and of y.
    """

    text: str
    expression: sympy.Expr
    generic: Derived
    recognised: Recognised | None
    named: bool = False  # by the user

    @property
    def family(self) -> Family:
        known = self.recognised.family if self.recognised is not None else None
        asked = self.named or known is None or self.generic.dispersion_known != known.dispersion_known
        return self.generic if asked or known is None else known

    @property
    def space(self) -> Interval:
        return Interval(*self.generic.space)

    @property
    def mean_space(self) -> Interval:
        return self.generic.mean_space

    @property
    def support(self) -> Interval:
        return self.generic.support

    @cached_property
    def _formulas(self) -> dict[str, sympy.Expr | None]:
        a = self.expression
        mean = shortest(sympy.diff(a, THETA))
        positive = {"positive": True} if self.mean_space.low >= 0 else {"real": True}
        mu, y = sympy.Symbol("mu", **positive), sympy.Symbol("y", **positive)
        theta = inverse(mean, mu, self.generic)
        spread = shortest(sympy.diff(mean, THETA))
        found: dict[str, sympy.Expr | None] = {"log_partition": a, "mean": mean, "variance": spread, "link": theta}
        if theta is None:
            return found | {"variance_function": None, "unit_deviance": None}
        variance = shortest(spread.subs(THETA, theta))
        theta, partition = (separate_logs(e, mu, self.generic) for e in (theta, shortest(sympy.powsimp(a.subs(THETA, theta)))))
        loss = (y * theta - partition).subs(mu, y) - (y * theta - partition)
        return found | {"variance_function": variance, "unit_deviance": 2 * shortest(sympy.expand(loss))}

    def _text(self, name: str) -> str | None:
        found = self._formulas[name]
        return None if found is None else str(found).replace("**", "^")

    @property
    def log_partition(self) -> str:
        return str(self._text("log_partition"))

    @property
    def mean(self) -> str:
        return str(self._text("mean"))

    @property
    def variance(self) -> str:
        return str(self._text("variance"))

    @property
    def variance_function(self) -> str | None:
        return self._text("variance_function")

    @property
    def link(self) -> str | None:
        return self._text("link")

    @property
    def unit_deviance(self) -> str | None:
        return self._text("unit_deviance")

    @property
    def latex(self) -> dict[str, str]:
        return {name: sympy.latex(found) for name, found in self._formulas.items() if found is not None}

    def canonical_link(self) -> Link:
        """The link whose predictor is theta itself."""
        return self.generic.canonical_link()

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        return _steps(self)

    def __str__(self) -> str:
        lines = [f"{s.name}\n    {s.formula}\n    {s.words}" for s in self.steps]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"derive({self.text!r})" + (f": {self.recognised}" if self.recognised else "")

    def _repr_markdown_(self) -> str:
        return "\n\n".join(f"**{s.name}**\n\n$${s.latex}$$\n\n{s.words}" for s in self.steps)


def _steps(d: Derivation) -> tuple[Step, ...]:
    f, latex = d._formulas, d.latex
    unknown = "without a closed form; the fit finds it by Newton's method"
    atoms = [f"{end.mean:g}" for end in (d.generic.ends.low, d.generic.ends.high) if end.atom > -float("inf")]
    out = [
        Step(
            "1. The exponential family",
            f"density of y = h(y) exp(y theta - A(theta)),   A(theta) = {d.log_partition}",
            rf"f(y;\theta) = h(y)\,e^{{y\theta - A(\theta)}}, \qquad A(\theta) = {latex['log_partition']}",
            f"A makes the density integrate to one, which it can for theta in {d.space}. All else follows from A.",
        ),
        Step("2. The mean is the slope of A", f"mu = A'(theta) = {d.mean}", rf"\mu = A'(\theta) = {latex['mean']}", _mean_words(d)),
        Step(
            "3. The variance is the slope of the mean",
            f"A''(theta) = {d.variance}" + (f" = {d.variance_function} in the mean" if f["variance_function"] is not None else ""),
            rf"A''(\theta) = {latex['variance']}" + (rf", \qquad V(\mu) = {latex['variance_function']}" if "variance_function" in latex else ""),
            "It is positive everywhere, so A is convex and the mean rises with theta: each mean belongs to one theta.",
        ),
        Step(
            "4. The canonical link is the inverse of A'",
            f"theta = {d.link}" if d.link is not None else f"theta = (A')^(-1)(mu), {unknown}",
            rf"\theta = {latex['link']}" if "link" in latex else r"\theta = (A')^{-1}(\mu)",
            f"It takes means in {d.mean_space} to the predictor eta = X beta, where any linear function may live"
            + ("." if d.space.low == -float("inf") and d.space.high == float("inf") else f", as long as it stays in {d.space}."),
        ),
        Step(
            "5. The unit deviance is twice the likelihood lost",
            f"d(y, mu) = {d.unit_deviance}" if d.unit_deviance is not None else "d(y, mu) = 2 (A(theta) - y theta - min over t of (A(t) - y t))",
            rf"d(y,\mu) = {latex['unit_deviance']}" if "unit_deviance" in latex else r"d(y,\mu) = 2\{A(\theta) - y\theta - \min_t (A(t) - yt)\}",
            f"Twice the log-likelihood at theta(y) less that at theta; y lies in {d.support}"
            + (f", and at {' and '.join(atoms)} its limit is taken." if atoms else "."),
        ),
        Step(
            "6. The score is that of every other model",
            "score = X' (y - mu),   information = X' diag(A''(eta)) X",
            r"\text{score} = X^\top (y-\mu), \qquad \text{information} = X^\top \mathrm{diag}\{A''(\eta)\}\, X",
            "The derivative of y theta - A(theta) is y - A'(theta) = y - mu, whatever A is: only the mean function changes.",
        ),
    ]
    return tuple(out)


def _mean_words(d: Derivation) -> str:
    ground = "Differentiate the integral of the density, which is 1: the expectation of y - A'(theta) is 0. "
    if d.recognised is None:
        return ground + "It is a mean function of its own, not one that has a name here."
    return ground + f"This is {d.recognised.known.function}: {d.recognised}."
