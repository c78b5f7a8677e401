"""What the tests of constraints share: data of every family, generic solvers, and the conditions of a minimum from formulas of their own."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

import etamu as em

CASES = ["gaussian", "binomial", "poisson", "gamma", "tweedie"]
POWER = {"poisson": 1.0, "gamma": 2.0, "tweedie": 1.5}


def draw(case, n, p, seed):
    """X, y, weights, offset and the family of one problem."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p)) * rng.uniform(0.3, 3, p) + rng.uniform(-1, 1, p)
    eta = 0.2 + (x - x.mean(axis=0)) @ (rng.standard_normal(p) * 0.4 / x.std(axis=0))
    offset, w = 0.2 * rng.standard_normal(n), rng.uniform(0.5, 2, n)
    eta = eta + offset
    mu = np.exp(np.minimum(eta, 4))
    if case == "gaussian":
        return x, eta + rng.standard_normal(n), w, offset, {}
    if case == "binomial":
        y = rng.binomial(1, expit(eta)).astype(float)
        y[:2] = 0, 1
        return x, y, w, offset, {"family": "binomial"}
    if case == "poisson":
        return x, rng.poisson(mu) + (np.arange(n) == 0), w, offset, {"family": "poisson"}
    y = rng.gamma(2, mu / 2)
    if case == "gamma":
        return x, y, w, offset, {"family": "gamma", "link": "log"}
    return x, np.where(rng.random(n) < 0.3, 0, y), w, offset, {"family": em.families.Tweedie(power=1.5), "link": "log"}


def score_terms(case, y, eta):
    """Minus the slope of half the unit deviance in eta."""
    if case == "gaussian":
        return y - eta
    if case == "binomial":
        return y - expit(eta)
    mu = np.exp(eta)
    return (y - mu) * mu ** (1 - POWER[case])


def half_deviance(case, y, eta):
    """Half the unit deviance up to a constant."""
    if case == "gaussian":
        return 0.5 * (y - eta) ** 2
    if case == "binomial":
        return np.logaddexp(0, eta) - y * eta
    if case == "poisson":
        return np.exp(eta) - y * eta
    return y * np.exp(-eta) + eta if case == "gamma" else 2 * np.exp(0.5 * eta) + 2 * y * np.exp(-0.5 * eta)


def slsqp(case, x, y, w, offset, a, low, high):
    """The weighted objective, and SciPy's minimum of it."""
    return reference(lambda eta: half_deviance(case, y, eta), x, offset, a, low, high, np.zeros(x.shape[1] + 1), w, lambda eta: -score_terms(case, y, eta))


@np.errstate(over="ignore", invalid="ignore")  # on its way SLSQP tries anything
def reference(terms, x, offset, a, low, high, start, w=1.0, slope=None):
    """An objective sum w terms(eta), and its minimum under rows by SLSQP."""
    z = np.c_[np.ones(len(x)), x]
    equal = low == high

    def objective(b):
        return float((w * terms(z @ b + offset)).sum())

    cons = [{"type": "eq", "fun": lambda b: a[equal] @ b - low[equal], "jac": lambda b: a[equal]}] if equal.any() else []
    for sign, ends in ((1, low), (-1, high)):
        rows = np.isfinite(ends) & ~equal
        if rows.any():
            cons.append({"type": "ineq", "fun": lambda b, s=sign, e=ends[rows], m=a[rows]: s * (m @ b - e), "jac": lambda b, s=sign, m=a[rows]: s * m})
    jac = None if slope is None else lambda b: z.T @ (w * slope(z @ b + offset)) / len(x)
    return objective, minimize(lambda b: objective(b) / len(x), start, jac=jac, constraints=cons, method="SLSQP", options={"ftol": 1e-15, "maxiter": 1000}).x


def kkt(case, fit, x, y, w, offset, a, low, high):
    """The largest failure of the conditions of a minimum, relative to the size of what is balanced."""
    z = np.c_[np.ones(len(x)), x]
    s = z.T @ (w * score_terms(case, y, z @ fit.coef + offset))
    active = fit.active
    left = s + active.matrix.T @ active.multipliers if len(active) else s
    size = np.abs(z).T @ np.abs(w * score_terms(case, y, z @ fit.coef + offset)) + (
        np.abs(active.matrix.T) @ np.abs(active.multipliers) if len(active) else 0.0
    )
    wrong = [max(0.0, -row.multiplier if row.kind == "lower" else row.multiplier) / size.max() for row in active if row.kind != "equal"]
    value, scale = a @ fit.coef, np.abs(a) @ np.abs(fit.coef) + 1
    breach = np.maximum(low - value, value - high) / scale
    return max(float(np.abs(left / size).max()), float(breach.max()), *wrong, 0.0)


def conditions(fit):
    """The same as the fit itself reports."""
    return max(fit.active.primal, fit.active.dual, fit.active.complementarity)


def random_rows(rng, width, count, repeat):
    """Rows that some point meets: sparse ones, equations, some of them twice."""
    a = rng.standard_normal((count, width + 1)) * (rng.random((count, width + 1)) < 0.5)
    a[~a.any(axis=1), -1] = 1.0
    value = a @ (0.3 * rng.standard_normal(width + 1))
    low = np.where(rng.random(count) < 0.6, value - rng.exponential(0.5, count) * (rng.random(count) < 0.7), -np.inf)
    high = np.where(rng.random(count) < 0.4, value + rng.exponential(0.5, count) * (rng.random(count) < 0.7), np.inf)
    low[0] = min(low[0], value[0]) if np.isfinite(low[0]) else value[0]
    return (np.vstack([a, a]), np.r_[low, low], np.r_[high, high]) if repeat else (a, low, high)
