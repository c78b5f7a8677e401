"""Penalised fits of families beside glmnet's by glum: writes glum.json beside this file, with the data they were made of.

Run from anywhere:  python make_glum.py     (Python with glum 3.4.1, NumPy and SciPy, nothing of etamu; a minute on one core)

The objective of every number is

    1/sum(w) sum_i w_i unit_deviance_i / 2  +  alpha (l1_ratio |b|_1 + (1 - l1_ratio)/2 |b|_2^2)

with a free intercept and the log link, and glum's is the same one: it rescales the weights to sum to 1 and scales no column.  glum's
negative binomial has the variance mu + theta mu^2, so the theta stored here (mu + mu^2/theta) is the inverse of the one glum is given.
An exposure is the offset log(exposure).

glum ends when its least subgradient, in the Euclidean norm, is below gradient_tol, or where its line search rests on rounding.  So every
solution is held against the Karush-Kuhn-Tucker conditions of the objective above, from y, mu and V(mu) alone: "kkt" is the largest violation
by any coefficient or the intercept, over alpha, and the smallest of those at several tolerances is kept
(the first below ENOUGH).  Where it stays above LIMIT the
case is dropped.  The inverse Gaussian deviance is not convex in log(mu): there glum also starts from its answers at the other alphas and
from random places, and a case where it does not end at one point from all of them is dropped too.  "dropped" lists both, with the reason.
"""

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import glum
import numpy as np
from scipy.optimize import brentq

SEED = 20
RATIOS = (1.0, 0.5, 0.1)
SHARES = (0.3, 0.1, 0.03, 0.01)  # of the least alpha at which nothing enters
TOLERANCES = (1e-9, 1e-11, 1e-13)
LIMIT = 1e-8
ENOUGH = 1e-10  # at which no tighter tolerance is tried
SAME = 1e-7  # of the largest coefficient: two starts that end closer have ended at one point
THETA, POWER = 1.6, 1.5
VARIANCE = {
    "poisson": lambda mu: mu,
    "gamma": lambda mu: mu**2,
    "tweedie": lambda mu: mu**POWER,
    "negative_binomial": lambda mu: mu + mu**2 / THETA,
    "inverse_gaussian": lambda mu: mu**3,
}
FAMILY = {
    "poisson": glum.PoissonDistribution(),
    "gamma": glum.GammaDistribution(),
    "tweedie": glum.TweedieDistribution(POWER),
    "negative_binomial": glum.NegativeBinomialDistribution(1 / THETA),
    "inverse_gaussian": glum.InverseGaussianDistribution(),
}
# name, family, column of the response, argument that moves eta; each with and without weights
CASES = [(name, name, name, None) for name in ("gamma", "tweedie", "negative_binomial", "inverse_gaussian")] + [
    ("poisson_exposure", "poisson", "poisson", "exposure"),
    ("poisson_offset", "poisson", "shifted", "offset"),
    ("tweedie_exposure", "tweedie", "claims", "exposure"),
]


# ---- data: every number rounded, so that it is read as it is written ----


def correlated(rng, n, p, rho=0.5):
    X = rng.normal(size=(n, p))
    for j in range(1, p):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho**2) * X[:, j]
    return X


def compound(rng, mu, phi=1.2):
    """Tweedie amounts: a Poisson number of gamma claims, E = mu, var = phi mu^POWER."""
    count = rng.poisson(mu ** (2 - POWER) / (phi * (2 - POWER)))
    shape = (2 - POWER) / (POWER - 1)
    return np.where(count > 0, rng.gamma(np.maximum(count, 1) * shape, phi * (POWER - 1) * mu ** (POWER - 1)), 0.0)


def sample(rng, X, b):
    n = len(X)
    eta = 0.3 + (X - X.mean(axis=0)) @ b
    mu, offset, exposure = np.exp(eta), np.round(rng.normal(0, 0.5, n), 2), np.round(rng.uniform(0.2, 2, n), 2)
    positive = {"gamma": rng.gamma(2.0, mu / 2), "inverse_gaussian": rng.wald(mu, 2.0)}
    return {
        "X": X,
        "weights": np.round(rng.uniform(0.2, 3, n), 2),
        "offset": offset,
        "exposure": exposure,
        **{name: np.maximum(np.round(y, 3), 0.005) for name, y in positive.items()},
        "tweedie": np.round(compound(rng, mu), 3),
        "claims": np.round(compound(rng, mu * exposure) / exposure, 3),
        "negative_binomial": rng.poisson(rng.gamma(THETA, mu / THETA)),
        "poisson": rng.poisson(mu * exposure),
        "shifted": rng.poisson(np.exp(eta + offset)),
    }


def make_data():
    rng = np.random.default_rng(SEED)
    tall = correlated(rng, 150, 8)
    places = correlated(rng, 120, 14, 0.7)
    places[:, 3] = 4 + 2 * places[:, 3]  # columns of other places and lengths, and a rare indicator
    places[:, 7] = 0.3 * places[:, 7] - 1
    places[:, 10] = places[:, 10] > 1.3
    wide = correlated(rng, 40, 60)
    return {
        "tall": sample(rng, np.round(tall, 3), np.array([0.5, -0.4, 0.2, 0, 0, 0.3, 0, 0.1])),
        "places": sample(rng, np.round(places, 3), np.array([0.4, 0, -0.3, 0.15, 0, 0, 0.2, 0.6, 0, 0, -0.5, 0, 0.1, 0])),
        "wide": sample(rng, np.round(wide, 3), np.r_[0.5, -0.5, 0.4, 0, 0, 0.3, np.zeros(54)]),
    }


# ---- the objective's own conditions ----


def scores(family, X, y, w, offset, intercept, coef):
    """What the mean half deviance falls by, per unit of the intercept and of each coefficient."""
    mu = np.exp(intercept + X @ coef + offset)
    r = w * (y - mu) * mu / VARIANCE[family](mu) / w.sum()
    return r.sum(), X.T @ r


def kkt(family, X, y, w, offset, intercept, coef, alpha, ratio):
    free, score = scores(family, X, y, w, offset, intercept, coef)
    rest = score - alpha * (1 - ratio) * coef
    off = np.where(coef == 0, np.maximum(np.abs(rest) - alpha * ratio, 0), np.abs(rest - alpha * ratio * np.sign(coef)))
    return max(abs(free), off.max()) / alpha


def largest_alpha(family, X, y, w, offset, ratio):
    """The least alpha at which nothing enters, to four digits."""
    nothing = np.zeros(X.shape[1])
    constant = brentq(lambda a: scores(family, X, y, w, offset, a, nothing)[0], -10, 10, xtol=1e-14)
    return float(f"{np.abs(scores(family, X, y, w, offset, constant, nothing)[1]).max() / ratio:.3e}")


def solve(family, X, y, w, offset, alpha, ratio, start=None):
    """The best that glum does of several tolerances: kkt, intercept, coefficients, and the tolerance; None where it does nothing."""
    best = None
    for tolerance in TOLERANCES:
        model = glum.GeneralizedLinearRegressor(
            family=FAMILY[family],
            link="log",
            alpha=alpha,
            l1_ratio=ratio,
            fit_intercept=True,
            scale_predictors=False,
            solver="irls-cd",
            gradient_tol=tolerance,
            max_iter=100,
            max_inner_iter=5000,
            start_params=start,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(X, y, sample_weight=w, offset=offset)
            except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
                print(family, alpha, ratio, tolerance, repr(error), file=sys.stderr)
                continue
        found = kkt(family, X, y, w, offset, model.intercept_, model.coef_, alpha, ratio)
        if np.isfinite(found) and (best is None or found < best[0]):
            best = (float(found), float(model.intercept_), model.coef_.copy(), tolerance)
        if best is not None and best[0] < ENOUGH:
            break
        start = np.r_[model.intercept_, model.coef_]  # the next, tighter, goes on from here
    return best


def trouble(family, X, y, w, offset, alpha, ratio, best, others):
    """Why the best answer is no reference, or None."""
    if best is None:
        return "glum found nothing"
    if best[0] >= LIMIT:
        return f"kkt {best[0]:.1e}"
    if family != "inverse_gaussian":
        return None
    rng = np.random.default_rng(SEED)
    starts = [np.r_[other[1], other[2]] for other in others if other is not None]
    for scale in (0.0, 0.1, 0.3, 0.3, 0.3):
        starts.append(np.r_[np.log(np.average(y, weights=w)) + 1, scale * rng.normal(size=X.shape[1]) / X.std(axis=0)])
    for start in starts:
        found = solve(family, X, y, w, offset, alpha, ratio, start)
        if found is None or found[0] >= LIMIT:
            return "not reached from another start"
        if np.abs(found[2] - best[2]).max() > SAME * np.abs(best[2]).max():
            return "another start ends at another point"
    return None


def main():
    data = make_data()
    cases, dropped = {}, []
    for table, columns in data.items():
        X = np.ascontiguousarray(columns["X"])
        for name, family, response, moved in CASES:
            y = columns[response].astype(float)
            offset = np.zeros(len(y)) if moved is None else np.log(columns["exposure"]) if moved == "exposure" else columns["offset"]
            for weighted in (False, True):
                w = columns["weights"] if weighted else np.ones(len(y))
                label = f"{table} {name}" + " weighted" * weighted
                fits = []
                for ratio in RATIOS:
                    top = largest_alpha(family, X, y, w, offset, ratio)
                    alphas = [float(f"{share * top:.6g}") for share in SHARES]
                    answers = [solve(family, X, y, w, offset, alpha, ratio) for alpha in alphas]
                    for alpha, best in zip(alphas, answers):
                        reason = trouble(family, X, y, w, offset, alpha, ratio, best, [a for a in answers if a is not best])
                        if reason is None:
                            residual, intercept, coef, _ = best
                            fits.append({"l1_ratio": ratio, "alpha": alpha, "kkt": float(f"{residual:.2e}"), "intercept": intercept, "coef": coef.tolist()})
                        else:
                            dropped.append({"case": label, "l1_ratio": ratio, "alpha": alpha, "reason": reason})
                cases[label] = {"data": table, "family": family, "response": response, "weights": "weights" if weighted else None, "moved": moved, "fits": fits}
                print(label, len(fits), f"{max((f['kkt'] for f in fits), default=0):.1e}", file=sys.stderr)
    lines = lambda d, inner: "{\n" + ",\n".join(f' "{k}": {inner(v)}' for k, v in d.items()) + "\n}"  # noqa: E731
    as_list = {t: {k: v.tolist() for k, v in c.items()} for t, c in data.items()}
    text = {
        "made_by": json.dumps(f"glum {version('glum')}, numpy {version('numpy')}"),
        "theta": json.dumps(THETA),
        "power": json.dumps(POWER),
        "limit": json.dumps(LIMIT),
        "kept": json.dumps(sum(len(c["fits"]) for c in cases.values())),
        "dropped": "[" + ",\n".join(json.dumps(d) for d in dropped) + "]",
        "data": lines(as_list, lambda c: lines(c, json.dumps)),
        "cases": lines(cases, lambda c: lines({k: c[k] for k in c if k != "fits"} | {"fits": c["fits"]}, json.dumps)),
    }
    Path(__file__).with_name("glum.json").write_text("{\n" + ",\n".join(f'"{k}": {v}' for k, v in text.items()) + "\n}\n")


if __name__ == "__main__":
    main()
