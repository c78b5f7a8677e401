"""How each system fits a case: a function that returns (intercept, coefficients), or None where it has no such model.

Tolerances are set so that every system brings the largest mean gradient below 1e-6; the runner checks and prints it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cases import Case

Fitted = tuple[np.ndarray, np.ndarray]
System = Callable[[np.ndarray, np.ndarray], Fitted]


def etamu(case: Case) -> System | None:
    import etamu as em

    def run(X: np.ndarray, y: np.ndarray) -> Fitted:
        fit = em.fit(X, y, family=case.family, link=case.link)
        if case.stderrors:
            fit.stderror()
        return fit.coef[0], fit.coef[1:]

    return run


def glum(case: Case) -> System | None:
    if case.family == "multinomial":
        return None
    from glum import GeneralizedLinearRegressor

    def run(X: np.ndarray, y: np.ndarray) -> Fitted:
        model = GeneralizedLinearRegressor(family=case.family, link=case.link or "auto", alpha=0, gradient_tol=1e-6).fit(X, y)
        if case.stderrors:
            model.std_errors(X, y)
        return np.array(model.intercept_), model.coef_

    return run


def newton_cholesky(case: Case) -> System | None:
    if case.stderrors or case.family == "multinomial":
        return None
    return _sklearn(case, "newton-cholesky", 1e-6)


def lbfgs(case: Case) -> System | None:
    return None if case.stderrors else _sklearn(case, "lbfgs", 1e-6)


def _sklearn(case: Case, solver: str, tol: float) -> System:
    from sklearn.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor

    def run(X: np.ndarray, y: np.ndarray) -> Fitted:
        if case.family in ("binomial", "multinomial"):
            model = LogisticRegression(C=np.inf, solver=solver, tol=tol, max_iter=5000).fit(X, y)
            return (model.intercept_, model.coef_.T) if case.family == "multinomial" else (model.intercept_[0], model.coef_[0])
        regressor = {"poisson": PoissonRegressor, "gamma": GammaRegressor}[case.family]
        model = regressor(alpha=0, solver=solver, tol=tol, max_iter=5000).fit(X, y)
        return np.array(model.intercept_), model.coef_

    return run


def statsmodels(case: Case) -> System | None:
    if case.family == "multinomial":
        return None
    import statsmodels.api as sm

    families = {"poisson": sm.families.Poisson(), "binomial": sm.families.Binomial(), "gamma": sm.families.Gamma(sm.families.links.Log())}

    def run(X: np.ndarray, y: np.ndarray) -> Fitted:
        result = sm.GLM(y, sm.add_constant(X), family=families[case.family]).fit()
        if case.stderrors:
            _ = result.bse
        return result.params[0], result.params[1:]

    return run


SYSTEMS = {"etamu": etamu, "glum": glum, "sklearn newton-cholesky": newton_cholesky, "sklearn lbfgs": lbfgs, "statsmodels": statsmodels}
SLOW = {"statsmodels": 10_000_000}  # entries of X beyond which a system is left out (it would take minutes and gigabytes)
