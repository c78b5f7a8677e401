"""From a log-partition to a family: type A(theta), get the mean, the variance, the link, the deviance, and a model that fits."""

from __future__ import annotations

from etamu.errors import DerivationError, EtamuError, SpecificationError, chosen
from etamu.families import ALIASES, FAMILIES

try:
    import sympy  # noqa: F401
except ImportError:  # pragma: no cover - the message is the point
    raise SpecificationError("deriving families needs one more package: pip install 'etamu[derive]'") from None

from etamu.derivation import conditions
from etamu.derivation.classes import MultiClass, is_multi_class, multi_class
from etamu.derivation.expression import read
from etamu.derivation.family import Derived
from etamu.derivation.known import recognise
from etamu.derivation.mass import on_whole_numbers
from etamu.derivation.steps import Derivation, Step

__all__ = ["Derivation", "MultiClass", "Step", "derive"]


def derive(log_partition: str, *, name: str | None = None, dispersion: str | None = None, **parameters: float) -> Derivation | MultiClass:
    """All that follows from a log-partition A(theta): mu = A', V = A'', the link (A')^-1, the deviance, and a family that fits.

    Parameters
    ----------
    log_partition : text in ``theta`` and named parameters, with ``+ - * / ^ **``, the constants ``pi`` and ``E``, and the functions
        ``exp log log1p expm1 sqrt sinh cosh tanh sin cos tan atan asinh``; ``log(sum(exp(theta)))`` for several classes.
        It is parsed, never executed.
    name : what to call the family; by default what it is recognised as, or "derived".
    dispersion : "known" (phi = 1) or "estimated"; by default known where y lies on whole numbers.
    parameters : their values, as in ``derive("-r*log(1 - exp(theta))", r=2)``.

    Returns
    -------
    Derivation : ``.family`` goes to ``em.fit`` and ``em.glm``; printing it explains each step.

    Raises
    ------
    DerivationError : the text is not an expression, has no domain, is not convex, or belongs to no distribution; the message says where.

    References
    ----------
    Barndorff-Nielsen, *Information and Exponential Families in Statistical Theory* (1978).

    Examples
    --------
    >>> import etamu as em
    >>> sigmoid = em.derive("log(1 + exp(theta))")
    >>> sigmoid
    derive('log(1 + exp(theta))'): Bernoulli
    >>> sigmoid.mean, sigmoid.variance_function, sigmoid.link
    ('exp(theta)/(exp(theta) + 1)', 'mu*(1 - mu)', 'log(mu/(1 - mu))')
    >>> counts = em.derive("log(exp(exp(theta)) - 1)")  # positive counts
    >>> em.fit([0.0, 0, 0, 1, 1, 1], [1, 2, 1, 3, 4, 2], family=counts.family).coef.round(6)
    array([-0.501106,  1.538354])
    """
    if name is not None and (not isinstance(name, str) or not name):
        raise SpecificationError(f"`name` is {name!r}; pass text.")
    if dispersion is not None:
        chosen("dispersion", dispersion, ("known", "estimated"))
    if name in FAMILIES or name in ALIASES:
        raise SpecificationError(f"`name` {name!r} is that of a built-in family; choose another.")
    try:
        return _derived(log_partition, name, dispersion, parameters)
    except EtamuError:
        raise
    except Exception as error:
        raise DerivationError(
            f"`log_partition` {str(log_partition)[:80]!r} could not be derived ({type(error).__name__}: {str(error)[:80]}); rewrite it."
        ) from error


def _derived(text: str, name: str | None, dispersion: str | None, parameters: dict[str, float]) -> Derivation | MultiClass:
    expression = read(text, parameters)
    if is_multi_class(expression):
        return multi_class(expression, text)
    space = conditions.natural_space(expression, text)
    conditions.check(expression, *space, text)
    places = conditions.places(*space)
    recognised = recognise(expression, places)
    whole = on_whole_numbers(expression, places)
    generic = Derived(
        text,
        {k: float(v) for k, v in parameters.items()},
        expression,
        space,
        conditions.ends(expression, *space),
        whole,
        name or (str(recognised) if recognised else "derived"),
        dispersion or ("known" if whole or (recognised and recognised.family and recognised.family.dispersion_known) else "estimated"),
    )
    return Derivation(text, expression, generic, recognised, name is not None)
