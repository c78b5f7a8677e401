"""A path of penalised fits: one solution for each strength of the penalty, from the one that sets everything to 0 downwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etamu.design.encode import DesignSpec
from etamu.errors import SpecificationError, UndefinedStatisticError, chosen
from etamu.families import Family, resolve_family
from etamu.inference.table import Table
from etamu.links import Link
from etamu.penalised import Prepared, alphas_from, prepare
from etamu.penalties import ElasticNet
from etamu.penalties.base import Penalty, check_share
from etamu.penalty_bounds import read_bounds
from etamu.reading import read_either
from etamu.solvers.base import Control, Step
from etamu.solvers.points import Point

__all__ = ["Path", "glm_path", "read_alphas", "read_control", "read_penalty", "trace_path"]

Array = np.ndarray[Any, Any]
_LASSO_OF_RIDGE = 1e-3  # l1_ratio of the elastic net whose first alpha is a ridge path's, as in glmnet


@dataclass(frozen=True)
class Path:
    """Penalised fits at falling alphas.

    ``coefs`` has shape (n_alphas, p), or (n_alphas, p, K) for K classes, without the intercept, which is in ``intercepts``; ``names`` are the p columns.
    ``df`` counts the coefficients that are not 0; of a ridge penalty alone it is tr (H + P)^-1 H.  ``residuals`` says how exactly each is a
    solution: the largest distance of the score from the penalty's subdifferential, over alpha.
    """

    names: tuple[str, ...]
    alphas: Array
    coefs: Array
    intercepts: Array
    deviance: Array
    null_deviance: float
    df: Array
    residuals: Array
    converged: Array
    steps: Array
    nobs: float
    penalty: Penalty
    family: Family
    link: Link
    solver: str
    reason: str
    intercept: bool = True
    spec: DesignSpec | None = field(default=None, repr=False, compare=False)
    sum_weight: float = field(default=math.nan, repr=False)

    @property
    def deviance_ratio(self) -> Array:
        """Share of the null deviance that is explained, 1 - deviance / null deviance."""
        return np.asarray(1 - self.deviance / self.null_deviance) if self.null_deviance > 0 else np.zeros(len(self.alphas))

    def __len__(self) -> int:
        return len(self.alphas)

    def index(self, alpha: float) -> int:
        """The place of an alpha of the path."""
        k = int(np.abs(np.log(self.alphas / alpha)).argmin()) if alpha > 0 else len(self.alphas) - 1
        if not math.isclose(self.alphas[k], alpha, rel_tol=1e-8, abs_tol=1e-300):
            raise SpecificationError(f"`alpha` {alpha!r} is not on the path; the nearest is {self.alphas[k]:.6g}. Pass `alphas=` to fit others.")
        return k

    def coef(self, alpha: float) -> dict[str, float]:
        """The coefficients at an alpha that are not 0, the intercept among them."""
        k = self.index(alpha)
        if self.coefs.ndim == 3:
            raise UndefinedStatisticError("a multinomial path has coefficients for each class; read `coefs[path.index(alpha)]`.")
        return {**({"Intercept": float(self.intercepts[k])} if self.intercept else {}), **{n: float(b) for n, b in zip(self.names, self.coefs[k]) if b != 0}}

    def criterion(self, name: str = "bic") -> Array:
        """AIC, AICc, BIC or EBIC (Chen & Chen 2008, doi:10.1093/biomet/asn034) at each alpha, with ``df`` parameters; differences are what counts.

        Where the dispersion is estimated, deviance/n takes its place, as for least squares: n log(deviance/n).
        """
        chosen("name", name, ["aic", "aicc", "bic", "ebic"])
        n = self.nobs
        if np.isnan(self.df).any():
            raise UndefinedStatisticError(
                f"the degrees of freedom of a ridge fit of {len(self.names):,} columns are not known; choose alpha by em.cross_validate."
            )
        with np.errstate(divide="ignore"):
            fit = self.deviance if self.family.dispersion_known else n * np.log(self.deviance / n)
        df = self.df
        if name == "aic":
            return np.asarray(fit + 2 * df)
        if name == "aicc":
            return np.asarray(fit + 2 * df + np.where(n > df + 1, 2 * df * (df + 1) / np.maximum(n - df - 1, 1e-300), np.inf))
        extra = 2 * np.array([_log_choose(len(self.names), int(k)) for k in df]) if name == "ebic" else 0.0
        return np.asarray(fit + math.log(n) * df + extra)

    def best(self, criterion: str = "bic") -> float:
        """The alpha of the least criterion."""
        return float(self.alphas[int(np.nanargmin(self.criterion(criterion)))])

    def table(self) -> Table:
        """Alpha, degrees of freedom, deviance ratio and accuracy, line by line."""
        return Table(
            {
                **{
                    name: getattr(self, name if name in ("df", "deviance", "deviance_ratio") else name + "s").tolist()
                    for name in ("alpha", "df", "deviance", "deviance_ratio", "residual")
                }
            }
        )

    def plot(self, ax: Any = None) -> Any:
        """Coefficients against alpha (logarithmic), by matplotlib; the axes."""
        from etamu.present.plot import plot_path

        return plot_path(self, ax)


def _log_choose(p: int, k: int) -> float:
    return math.lgamma(p + 1) - math.lgamma(min(k, p) + 1) - math.lgamma(p - min(k, p) + 1)


@np.errstate(all="ignore")
def glm_path(
    formula: str | None = None,
    data: Any = None,
    *,
    X: Any = None,
    y: Any = None,
    family: str | Family = "gaussian",
    link: str | Link | None = None,
    weights: Any = None,
    frequency: Any = None,
    offset: Any = None,
    exposure: Any = None,
    intercept: bool = True,
    names: Sequence[str] | None = None,
    penalty: Penalty | None = None,
    l1_ratio: float | None = None,
    alphas: Any = None,
    n_alphas: int = 100,
    alpha_min_ratio: float | None = None,
    constraints: Any = None,
    control: Control | None = None,
    missing: str = "raise",
    cache: bool | str | None = None,
) -> Path:
    """Penalised fits at a falling sequence of alphas, each beginning at the last.

    Minimises ``(1/sum w) sum w d/2 + alpha penalty(b)`` at each alpha, d the unit deviance, for a formula on data (tables and files as in
    :func:`etamu.glm`) or for X (n, p) and y.

    Parameters
    ----------
    penalty : any of ``em.ElasticNet, em.Lasso, em.GroupLasso, em.Fused, ...`` or a sum of them, taken alpha times; its own alpha counts as 1.
    l1_ratio : without ``penalty``: that of an elastic net; 1, the lasso, if it is not given.
    alphas : the sequence, else ``n_alphas`` of them, equally spaced in logarithms, from the least alpha that sets every penalised coefficient to 0
        down to ``alpha_min_ratio`` times it (1e-4; 1e-2 where there are more columns than rows).  A ridge path, of which no alpha does that, goes from
        the first alpha of the elastic net with l1_ratio 0.001 down to 1e-6 times it.
    constraints : ``em.Box(lower=, upper=)``, bounds of coefficients.

    Raises
    ------
    SpecificationError for alphas that are negative or not finite, an l1_ratio outside [0, 1], and what else cannot be fitted.

    References
    ----------
    Friedman, Hastie & Tibshirani (2010), J. Stat. Softw. 33(1), doi:10.18637/jss.v033.i01.

    Examples
    --------
    >>> import etamu as em
    >>> X, y, beta = em.datasets.make_linear(200, n_features=5, seed=1)
    >>> path = em.glm_path(X=X[:, 1:], y=y, n_alphas=20)
    >>> path.coefs.shape, int(path.df[0]), bool(path.converged.all())
    ((20, 5), 1, True)
    """
    arrays = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    found = resolve_family(family)
    control = read_control(control)
    built, problem, _ = read_either(formula, data, X, y, found, link, arrays, intercept, names, missing, cache, control)
    chosen_penalty = read_penalty(penalty, l1_ratio, 1.0)
    prepared = prepare(problem, built.spec, built.intercept, chosen_penalty, control, read_bounds(constraints, built))
    given = read_alphas(alphas)
    return trace_path(prepared, built.spec, chosen_penalty, given, n_alphas, alpha_min_ratio)


def trace_path(prepared: Prepared, spec: DesignSpec | None, penalty: Penalty, alphas: Array | None, count: int, ratio: float | None) -> Path:
    """The path of a prepared problem."""
    engine = prepared.engine()
    steepest = engine.steepest()
    engine.begin()
    if alphas is None:
        alphas = alphas_from(*_range(engine.first_alpha(), steepest, prepared, count, ratio))
    return assembled(prepared, spec, penalty, followed(engine.path(alphas), len(alphas), prepared))


def followed(points: Iterator[Point], count: int, prepared: Prepared, whose: str = "") -> list[Point]:
    """The points of a path, of each of which progress is told: in a pass's place, with a note that says which it is."""
    found, progress = [], prepared.control.progress
    for k, point in enumerate(points, 1):
        found.append(point)
        if progress is not None:
            progress(Step(float(prepared.problem.rows), 1, "double", point.deviance, None, f"alpha {k} of {count}{whose}: {point.alpha:.4g}"))
    return found


def alphas_of(prepared: Prepared, alphas: Array | None, count: int, ratio: float | None) -> Array:
    """The alphas given, or those that suit the data."""
    if alphas is not None:
        return alphas
    engine = prepared.engine()
    steepest = engine.steepest()
    engine.begin()
    return alphas_from(*_range(engine.first_alpha(), steepest, prepared, count, ratio))


def _range(first: float, steepest: float, prepared: Prepared, count: Any, ratio: float | None) -> tuple[float, int, float]:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise SpecificationError(f"`n_alphas` is {count!r}; pass a whole number that is 1 or more.")
    p = prepared.problem.design.width
    selects = bool(prepared.pieces.l1.any() or prepared.pieces.groups)
    ratio = (1e-6 if not selects else 1e-2 if p > prepared.problem.rows else 1e-4) if ratio is None else ratio
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float, np.number)) or not 0 < ratio < 1:
        raise SpecificationError(f"`alpha_min_ratio` is {ratio!r}; pass a number between 0 and 1.")
    if not first > 0:
        if selects:
            return 1e-3, int(count), ratio
        first = steepest / _LASSO_OF_RIDGE if steepest > 0 else 1.0  # no alpha of a ridge penalty sets coefficients to 0
    return first, int(count), float(ratio)


def assembled(prepared: Prepared, spec: DesignSpec | None, penalty: Penalty, points: list[Point]) -> Path:
    """The path of those solutions."""
    problem, at = prepared.problem, int(prepared.intercept)
    beta = prepared.table(points)
    counted = _counted(problem)
    return Path(
        names=tuple(problem.design.names[at:]),
        alphas=np.array([point.alpha for point in points]),
        coefs=beta[:, at:],
        intercepts=beta[:, 0] if at else np.zeros((len(points), *beta.shape[2:])),
        deviance=np.array([point.deviance for point in points]),
        null_deviance=_null_deviance(prepared),
        df=np.array([_freedom(prepared, b, at) if point.freedom is None else point.freedom for point, b in zip(points, beta)]),
        residuals=np.array([point.residual for point in points]),
        converged=np.array([point.converged for point in points]),
        steps=np.array([point.steps for point in points]),
        nobs=counted,
        penalty=penalty,
        family=problem.family,
        link=problem.link,
        solver=prepared.solver,
        reason=prepared.reason,
        intercept=prepared.intercept,
        spec=spec,
    )


def _freedom(prepared: Prepared, beta: Array, at: int) -> int:
    """Coefficients that are not 0, levels that are equal counting once."""
    if beta.ndim == 1:
        return int(np.count_nonzero(np.abs(prepared.pieces.differences(beta)) > 1e-12 if prepared.pieces.chains else beta))
    return int((beta[at:] != 0).sum() + at * (beta.shape[1] - (prepared.problem.reference is None)))


def _counted(problem: Any) -> float:
    rows = float(problem.rows if getattr(problem, "weight", None) is None or not hasattr(problem, "within") else np.count_nonzero(problem.weight))
    return float(problem.observations(rows))


def _null_deviance(prepared: Prepared) -> float:
    from etamu.inference.likelihood import null_deviance

    return null_deviance(prepared.problem, prepared.intercept, prepared.control)


def read_control(control: Any) -> Control:
    """The control, checked."""
    if control is not None and not isinstance(control, Control):
        raise SpecificationError(f"`control` is a {type(control).__name__}; pass em.Control(...).")
    return control or Control()


def read_penalty(penalty: Any, l1_ratio: Any, otherwise: float) -> Penalty:
    """The penalty asked for, or an elastic net."""
    if penalty is None:
        share = otherwise if l1_ratio is None else l1_ratio
        check_share("l1_ratio", share)
        return ElasticNet(1.0, float(share))
    if l1_ratio is not None:
        raise SpecificationError("`l1_ratio` is that of an elastic net, and `penalty` is given too; pass one of them.")
    if not isinstance(penalty, Penalty):
        raise SpecificationError(f"`penalty` is a {type(penalty).__name__}; pass em.ElasticNet(l1_ratio=...), em.GroupLasso(), ...")
    return penalty


def read_alphas(alphas: Any) -> Array | None:
    """The alphas asked for, falling."""
    if alphas is None:
        return None
    try:
        found = np.array(alphas, dtype=float).ravel()
    except (TypeError, ValueError):
        raise SpecificationError(f"`alphas` is a {type(alphas).__name__} that does not hold numbers; pass an array of strengths.") from None
    if not len(found):
        raise SpecificationError("`alphas` is empty; pass at least one strength.")
    bad = found[~(np.isfinite(found) & (found >= 0))]
    if len(bad):
        raise SpecificationError(f"`alphas` holds {bad[0]:g}; pass finite numbers that are 0 or more.")
    return np.sort(found)[::-1]
