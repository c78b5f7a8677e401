"""The table of families.  Adding one: write its file, import it here, add it to :data:`FAMILIES`."""

from __future__ import annotations

from etamu.errors import SpecificationError, unknown
from etamu.families.base import NONNEGATIVE, POSITIVE, REAL, UNIT, UNIT_OPEN, Family, Interval
from etamu.families.binomial import Binomial
from etamu.families.gamma import Gamma
from etamu.families.gaussian import Gaussian
from etamu.families.inverse_gaussian import InverseGaussian
from etamu.families.multinomial import Multinomial
from etamu.families.negative_binomial import NegativeBinomial
from etamu.families.poisson import Poisson
from etamu.families.quasi import VARIANCES, Quasi, QuasiBinomial, QuasiPoisson
from etamu.families.tweedie import Tweedie

__all__ = [
    "ALIASES",
    "FAMILIES",
    "NONNEGATIVE",
    "POSITIVE",
    "REAL",
    "UNIT",
    "UNIT_OPEN",
    "VARIANCES",
    "Binomial",
    "Family",
    "Gamma",
    "Gaussian",
    "Interval",
    "InverseGaussian",
    "Multinomial",
    "NegativeBinomial",
    "Poisson",
    "Quasi",
    "QuasiBinomial",
    "QuasiPoisson",
    "Tweedie",
    "resolve_family",
]

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        Gaussian,
        Binomial,
        Poisson,
        Gamma,
        InverseGaussian,
        Tweedie,
        NegativeBinomial,
        QuasiPoisson,
        QuasiBinomial,
        Quasi,
        Multinomial,
    )
}
# what the same families are called in R, scikit-learn and the lesson this project grew from
ALIASES = {
    "normal": "gaussian",
    "linear": "gaussian",
    "logistic": "binomial",
    "bernoulli": "binomial",
    "Gamma": "gamma",
    "inverse.gaussian": "inverse_gaussian",
    "inverse-gaussian": "inverse_gaussian",
    "negative.binomial": "negative_binomial",
    "negative-binomial": "negative_binomial",
    "quasipoisson": "quasi-poisson",
    "quasibinomial": "quasi-binomial",
    "softmax": "multinomial",
}


def resolve_family(family: str | Family | type[Family]) -> Family:
    """The Family a name stands for (``"tweedie(1.5)"`` included), or the object itself."""
    if isinstance(family, Family):
        return family
    if isinstance(family, type) and issubclass(family, Family):
        return family()
    if not isinstance(family, str):
        raise SpecificationError(f"`family` is a {type(family).__name__}; pass a name or an em.families object.")
    head, _, tail = family.partition("(")
    name = ALIASES.get(head, head)
    if name not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    if not tail:
        return FAMILIES[name]()
    argument = tail.rstrip().removesuffix(")").strip()
    if name == "quasi":
        return Quasi(variance=argument + ")" if argument.count("(") > argument.count(")") else argument)
    if name in ("tweedie", "negative_binomial"):
        try:
            number = float(argument.partition("=")[2] or argument)
        except ValueError:
            raise SpecificationError(f"`family` {family!r}: {argument!r} is not a number; write for example '{name}(1.5)'.") from None
        return Tweedie(power=number) if name == "tweedie" else NegativeBinomial(theta=number)
    raise SpecificationError(f"`family` {family!r}: {name} takes no argument; write {name!r}.")
