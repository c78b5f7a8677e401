"""The log-partition of several classes: derived with symbols for three, and recognised as the softmax."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy

from etamu.derivation.expression import THETA, Each
from etamu.derivation.steps import Step
from etamu.errors import DerivationError
from etamu.families import Multinomial

__all__ = ["MultiClass", "is_multi_class", "multi_class"]

_CLASSES = 3


@dataclass(frozen=True, eq=False)
class MultiClass:
    """What log(sum(exp(theta))) implies: the softmax, its covariance, and which part of theta means anything.

    Attributes
    ----------
    family : the multinomial family, for ``em.fit`` and ``em.glm``.
    reference : whether one class has theta = 0, as in ``log(1 + sum(exp(theta)))``.
    mean, variance : formulas for three classes, as text.
    latex : the same as LaTeX, by name.
    steps : the derivation in words.
    """

    text: str
    expression: sympy.Expr
    thetas: tuple[sympy.Symbol, ...]
    gradient: tuple[sympy.Expr, ...]
    hessian: sympy.Matrix
    reference: bool

    @property
    def family(self) -> Multinomial:
        return Multinomial()

    @property
    def mean(self) -> tuple[str, ...]:
        return tuple(map(str, self.gradient))

    @property
    def variance(self) -> str:
        return "diag(mu) - mu mu'"

    @property
    def latex(self) -> dict[str, str]:
        return {
            "log_partition": sympy.latex(self.expression),
            "mean": r"\mu_k = " + sympy.latex(self.gradient[0]).replace("theta_{1}", "theta_k"),
            "variance": r"\mathrm{diag}(\mu) - \mu\mu^\top",
        }

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        inner = "1 + sum_j exp(theta_j)" if self.reference else "sum_j exp(theta_j)"
        below = r"1 + \sum_j e^{\theta_j}" if self.reference else r"\sum_j e^{\theta_j}"
        freedom = (
            "One class has theta = 0, so that every other theta is the logarithm of its odds against it: nothing is left free."
            if self.reference
            else "Add the same number to every theta: A grows by it, mu does not move. Only differences of thetas are identified; a reference "
            "class, or rows that sum to zero, picks one of the equal answers."
        )
        return (
            Step(
                "1. The exponential family",
                f"probability of class k = exp(theta_k - A(theta)),   A(theta) = log({inner})",
                rf"P(y=k) = e^{{\theta_k - A(\theta)}}, \qquad A(\theta) = \log\Bigl({below}\Bigr)",
                "y is one-hot: a one at the class that was seen. A makes the probabilities add up to one.",
            ),
            Step(
                "2. The mean is the gradient of A",
                f"mu_k = exp(theta_k) / ({inner})",
                rf"\mu_k = \frac{{e^{{\theta_k}}}}{{{below}}}",
                "This is the softmax: multinomial. With two classes it is the sigmoid of their difference.",
            ),
            Step(
                "3. The covariance is the Hessian of A",
                "diag(mu) - mu mu'",
                self.latex["variance"],
                "It has no negative direction, so A is convex.",
            ),
            Step(
                "4. What can be known", "theta + c gives the same mu as theta" if not self.reference else "theta_k = log(mu_k / mu_0)", self._gauge(), freedom
            ),
            Step(
                "5. The score is that of every other model",
                "score = X' (Y - mu), one column per class",
                r"\text{score} = X^\top (Y - \mu)",
                "y - mu again, a column for each class.",
            ),
        )

    def _gauge(self) -> str:
        return r"\theta_k = \log(\mu_k/\mu_0)" if self.reference else r"\mu(\theta + c\mathbf{1}) = \mu(\theta)"

    def __str__(self) -> str:
        return "\n".join(f"{s.name}\n    {s.formula}\n    {s.words}" for s in self.steps)

    def __repr__(self) -> str:
        return f"derive({self.text!r}): multinomial"


def is_multi_class(a: sympy.Expr) -> bool:
    """Whether something is summed over classes."""
    return bool(a.has(Each))


def multi_class(a: sympy.Expr, text: str) -> MultiClass:
    """The derivation, if its gradient is the softmax."""
    if a.has(THETA) and any(THETA in part.free_symbols for part in [a.replace(Each, lambda inner: sympy.Symbol("s"))]):
        raise DerivationError(f"`log_partition` {text!r} has a theta outside of sum(); with several classes every theta stands under the sum.")
    thetas = sympy.symbols(f"theta_1:{_CLASSES + 1}", real=True)
    whole = a.replace(Each, lambda inner: sum(inner.subs(THETA, t) for t in thetas))
    gradient = tuple(sympy.simplify(sympy.diff(whole, t)) for t in thetas)
    total = sum(sympy.exp(t) for t in thetas)
    for reference, below in ((False, total), (True, 1 + total)):
        if all(sympy.simplify(g - sympy.exp(t) / below) == 0 for g, t in zip(gradient, thetas, strict=True)):
            hessian = sympy.Matrix([[sympy.diff(g, t) for t in thetas] for g in gradient])
            return MultiClass(text, whole, thetas, gradient, hessian, reference)
    if all(sympy.diff(g, t) == 0 for i, g in enumerate(gradient) for j, t in enumerate(thetas) if i != j):
        raise DerivationError(
            f"`log_partition` {text!r} is a sum of functions of one theta each, so its components are independent; derive one of them alone, without sum()."
        )
    raise DerivationError(
        f"`log_partition` {text!r}: of log-partitions of several classes, log(sum(exp(theta))) and log(1 + sum(exp(theta))) can be fitted; the "
        f"gradient of this one is not the softmax (its first component is {gradient[0]})."
    )
