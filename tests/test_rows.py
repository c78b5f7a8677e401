"""The row terms of every family under every link: against 60-digit arithmetic on extreme grids, and NumPy against C++.

A value that double precision cannot hold must come out as inf or as (nearly) 0, never as nan.
"""

import functools

import numpy as np
import pytest
from mpmath import mp, mpf

import etamu as em
from etamu.design.columns import Column, Design
from etamu.links import Mean
from etamu.rows import row_terms
from etamu.sources import native, plain
from etamu.sources.problem import Problem
from etamu.sums import Request

mp.dps = 60
FAMILIES = {
    "gaussian": em.families.Gaussian(),
    "binomial": em.families.Binomial(),
    "poisson": em.families.Poisson(),
    "gamma": em.families.Gamma(),
    "inverse_gaussian": em.families.InverseGaussian(),
    "tweedie(1.5)": em.families.Tweedie(1.5),
    "tweedie(1.05)": em.families.Tweedie(1.05),
    "tweedie(2.5)": em.families.Tweedie(2.5),
    "negative_binomial": em.families.NegativeBinomial(2.5),
}
LINKS = {**{k: v for k, v in em.links.LINKS.items() if k != "softmax"}, "power(0.3)": em.links.power(0.3)}
Y = {
    "gaussian": [-1e3, 0.0, 1.5],
    "binomial": [0.0, 1.0, 0.3],
    "poisson": [0.0, 1.0, 7.0, 2.5],
    "gamma": [1e-8, 0.7, 1e6],
    "inverse_gaussian": [1e-4, 0.7, 1e4],
    "tweedie": [0.0, 1e-3, 3.0],
    "negative_binomial": [0.0, 1.0, 40.0],
}
WIDE = [-745.0, -700.0, -100.0, -36.5, -5.0, -1.0, -1e-3, 1e-3, 0.4, 5.0, 36.5, 100.0, 700.0, 745.0]
POSITIVE = [1e-6, 1e-3, 0.4, 0.9, 5.0, 1e3, 1e6]
NEGATIVE = [-745.0, -700.0, -36.5, -5.0, -1.0, -1e-3, -1e-9]
UNIT = [1e-9, 1e-3, 0.3, 0.9, 0.999]

MU = {
    "identity": lambda e: e,
    "log": lambda e: mp.exp(e),
    "logit": lambda e: 1 / (1 + mp.exp(-e)),
    "probit": lambda e: mp.erfc(-e / mp.sqrt(2)) / 2,
    "cloglog": lambda e: -mp.expm1(-mp.exp(e)),
    "loglog": lambda e: mp.exp(-mp.exp(-e)),
    "cauchit": lambda e: mp.atan2(1, -e) / mp.pi,
    "inverse": lambda e: 1 / e,
    "inverse_squared": lambda e: 1 / mp.sqrt(e),
    "sqrt": lambda e: e * e,
    "power(0.3)": lambda e: e ** (1 / mpf(0.3)),
}
# 1 - mu, and the derivatives, where the difference would cancel beyond any number of digits
COMPLEMENT = {
    "logit": lambda e: 1 / (1 + mp.exp(e)),
    "probit": lambda e: mp.erfc(e / mp.sqrt(2)) / 2,
    "cloglog": lambda e: mp.exp(-mp.exp(e)),
    "loglog": lambda e: -mp.expm1(-mp.exp(-e)),
    "cauchit": lambda e: mp.atan2(1, e) / mp.pi,
    "log": lambda e: -mp.expm1(e),
}
DMU = {
    "identity": lambda e: mpf(1),
    "log": lambda e: mp.exp(e),
    "logit": lambda e: 1 / (1 + mp.exp(-e)) / (1 + mp.exp(e)),
    "probit": lambda e: mp.exp(-e * e / 2) / mp.sqrt(2 * mp.pi),
    "cloglog": lambda e: mp.exp(e - mp.exp(e)),
    "loglog": lambda e: mp.exp(-e - mp.exp(-e)),
    "cauchit": lambda e: 1 / (mp.pi * (1 + e * e)),
    "inverse": lambda e: -1 / e**2,
    "inverse_squared": lambda e: -1 / (2 * e * mp.sqrt(e)),
    "sqrt": lambda e: 2 * e,
    "power(0.3)": lambda e: e ** (1 / mpf(0.3) - 1) / mpf(0.3),
}
CURVATURE = {
    "identity": lambda e: mpf(0),
    "log": lambda e: mpf(1),
    "logit": lambda e: -mp.tanh(e / 2),
    "probit": lambda e: -e,
    "cloglog": lambda e: 1 - mp.exp(e),
    "loglog": lambda e: mp.exp(-e) - 1,
    "cauchit": lambda e: -2 * e / (1 + e * e),
    "inverse": lambda e: -2 / e,
    "inverse_squared": lambda e: -mpf(3) / (2 * e),
    "sqrt": lambda e: 1 / e,
    "power(0.3)": lambda e: (1 / mpf(0.3) - 1) / e,
}


def grid(family, link):
    """eta values inside the link's domain whose means lie in the family's space."""
    unit_link = link in ("logit", "probit", "cloglog", "loglog", "cauchit")
    if family == "binomial":
        if unit_link:
            return WIDE
        means = np.array(UNIT)
        return NEGATIVE if link == "log" else [float(x) for x in np.sort(LINKS[link].eta(means))]
    if link in ("inverse", "inverse_squared", "sqrt", "power(0.3)"):
        return POSITIVE
    if link == "identity":
        return [-1e3, -0.5, *POSITIVE] if family == "gaussian" else POSITIVE
    return WIDE


def half_log_deviance(y, mu):
    return mu if y == 0 else y * mp.log(y / mu) - (y - mu)


def unit_deviance(family, y, mu, q):
    name = family.name
    if name == "gaussian":
        return (y - mu) ** 2
    if name == "binomial":
        up = -y * mp.log(mu) + (y * mp.log(y) if y else 0)
        down = -(1 - y) * mp.log(q) + ((1 - y) * mp.log(1 - y) if y != 1 else 0)
        return 2 * (up + down)
    if name == "poisson":
        return 2 * half_log_deviance(y, mu)
    if name == "gamma":
        return 2 * ((y - mu) / mu - mp.log(y / mu))
    if name == "inverse_gaussian":
        return (y - mu) ** 2 / (y * mu**2)
    if name == "negative_binomial":
        k = mpf(family.theta)
        return 2 * ((y * mp.log(y / mu) if y else 0) - (y + k) * mp.log((y + k) / (mu + k)))
    p = mpf(family.power)
    first = y ** (2 - p) / ((1 - p) * (2 - p)) if y else mpf(0)
    return 2 * (first - y * mu ** (1 - p) / (1 - p) + mu ** (2 - p) / (2 - p))


def variance(family, mu, q):
    """V and V'."""
    name = family.name
    if name == "gaussian":
        return mpf(1), mpf(0)
    if name == "binomial":
        return mu * q, q - mu
    if name == "negative_binomial":
        k = mpf(family.theta)
        return mu + mu**2 / k, 1 + 2 * mu / k
    p = {"poisson": 1, "gamma": 2, "inverse_gaussian": 3}.get(name) or mpf(family.power)
    return mu**p, p * mu ** (p - 1)


@functools.cache
def exact(family_key, link, y, eta):
    """Deviance, pearson, score, expected and observed weight in 60 digits (more where tails cancel)."""
    family = FAMILIES[family_key]
    with mp.workdps(60 if abs(eta) < 50 else 700):
        y, e = mpf(y), mpf(eta)
        mu, dmu = MU[link](e), DMU[link](e)
        q = COMPLEMENT[link](e) if link in COMPLEMENT else 1 - mu
        if family.name == "binomial" and (mu == 0 or q == 0 or dmu == 0):
            return None  # mpmath itself underflows (cloglog at 745); those rows are checked for finiteness
        v, dv = variance(family, mu, q)
        residual = q - (1 - y) if link in COMPLEMENT and family.name == "binomial" and mu > 0.5 else y - mu
        if family.name == "binomial" and y in (0, 1):
            residual = q if y == 1 else -mu
        score, expected = residual * dmu / v, dmu * dmu / v
        bend = CURVATURE[link](e) - dv * dmu / v
        observed = expected - score * bend
        if family.name == "binomial":
            score_size, observed_size = (y / mu + (1 - y) / q) * abs(dmu), mpf(10) ** -40 * abs(score)
            if link in ("probit", "cauchit") and y in (0, 1):  # mu'/mu - mu''/mu' cancels like 1/eta^2
                observed_size = abs(score) * abs(CURVATURE[link](e))
        else:  # terms whose difference the row is
            score_size = (abs(y) + abs(mu)) * abs(dmu) / v
            observed_size = expected + score_size * (abs(CURVATURE[link](e)) + abs(dv * dmu / v))
        observed_size = max(observed_size, mpf(10) ** -40 * abs(expected))  # the reference's own noise
        values = (unit_deviance(family, y, mu, q), residual**2 / v, score, expected, observed)
        return tuple(map(float, (*values, mpf(0), mpf(0), score_size, mpf(0), observed_size)))


CASES = [(f, link) for f in FAMILIES for link in LINKS]


def points(family, link):
    ys = Y[family.partition("(")[0]]
    if family == "tweedie(2.5)":
        ys = [1e-3, 3.0]
    return np.array([(y, e) for y in ys for e in grid(family, link)]).T


def rounding(y, value):
    """y and mu are doubles: what rounding their difference does to its square."""
    return (1 + abs(y)) * 4e-16 * np.sqrt(min(abs(value), 1.0)) + 1e-28 * (1 + y * y)


def close(got, want, size, slack, floor=0.0):
    """Relative to the value, or to the terms it is a difference of; beyond the range of doubles inf, and 0, are right."""
    if (np.isinf(want) or abs(want) > 1e290 or size > 1e290) and (np.isinf(got) or abs(got) > 1e280 or got == 0):
        return True
    return abs(got - want) <= 4e-13 * slack * max(abs(want), size) + floor + 1e-290


@pytest.mark.parametrize(("family", "link"), CASES)
def test_against_sixty_digits(family, link):
    y, eta = points(family, link)
    one = np.ones_like(y)
    expected = row_terms(FAMILIES[family], LINKS[link], y, eta, one)
    observed = row_terms(FAMILIES[family], LINKS[link], y, eta, one, "observed")
    for i in range(len(y)):
        got = (*(float(t[i]) for t in expected[:3]), float(expected.weight[i]), float(observed.weight[i]))
        assert not np.isnan(got).any(), (y[i], eta[i], got)
        want = exact(family, link, y[i], eta[i])
        if want is None:
            continue
        if np.isinf(got[0]):  # no double holds this deviance: the row says so and adds nothing else
            assert want[0] > 1e290, (y[i], eta[i], got, want)
            continue
        slack = 1.0 + abs(eta[i])  # exp(eta) has a relative error of |eta| half ulps
        names = ("deviance", "pearson", "score", "expected", "observed")
        for name, g, w, size in zip(names, got, want[:5], want[5:], strict=True):
            floor = rounding(y[i], w) if name in ("deviance", "pearson") else 0.0
            assert close(g, w, size, slack, floor), (name, y[i], eta[i], g, w)


@pytest.mark.parametrize("information", ["expected", "observed"])
@pytest.mark.parametrize(("family", "link"), CASES)
def test_native_equals_numpy(family, link, information):
    if not native.available():
        pytest.skip("built without a compiler")
    y, eta = points(family, link)
    for i in range(len(y)):  # one row at a time: the sums are the row's terms
        design = Design((Column("x", np.array([eta[i]])),), 1)
        problem = Problem(design, np.array([y[i]]), FAMILIES[family], LINKS[link])
        request = Request(np.ones(1), 2, information)
        with np.errstate(all="ignore"):
            want = plain.add_rows(problem, slice(0, 1), request, plain.own_terms(request.information))
        plan = native.plan(problem)
        assert plan.fused
        got = plan.sum([0, 1], 1, request)
        sizes = exact(family, link, y[i], eta[i]) or (0.0,) * 10
        slack = 1.0 + abs(eta[i])
        pairs = {
            "deviance": (got.deviance, want.deviance, sizes[5]),
            "pearson": (got.pearson, want.pearson, sizes[6]),
            "score": (got.score[0] / eta[i], want.score[0] / eta[i], sizes[7]),  # the column holds eta itself
            "information": (got.information[0, 0] / eta[i] ** 2, want.information[0, 0] / eta[i] ** 2, max(sizes[8:])),
        }
        for name, (a, b, size) in pairs.items():
            floor = rounding(y[i], b) if name in ("deviance", "pearson") else 0.0
            assert a == b or close(a, b, size, slack, floor), (name, y[i], eta[i], a, b)


@pytest.mark.parametrize("link", LINKS)
def test_links_invert_and_differentiate(link):
    g = LINKS[link]
    mu = np.array([0.05, 0.3, 0.5, 0.7, 0.95])
    eta = g.eta(mu)
    np.testing.assert_allclose(g.mu(eta), mu, rtol=1e-13)
    mean = Mean(g, eta)
    h = 1e-6 * np.maximum(np.abs(eta), 0.1)
    np.testing.assert_allclose(mean.dmu, (g.mu(eta + h) - g.mu(eta - h)) / (2 * h), rtol=1e-7)
    np.testing.assert_allclose(mean.complement, 1 - mu, rtol=1e-12)
    np.testing.assert_allclose(np.exp(mean.log_mu), mu, rtol=1e-13)
    np.testing.assert_allclose(np.exp(mean.log_complement), 1 - mu, rtol=1e-12)
    np.testing.assert_allclose(mean.dlog_mu, mean.dmu / mu, rtol=1e-12)
    np.testing.assert_allclose(mean.dlog_complement, mean.dmu / (1 - mu), rtol=1e-12)
    np.testing.assert_allclose(mean.curvature, [float(CURVATURE[link](mpf(e))) for e in eta], rtol=1e-12, atol=1e-12)


NATURAL = {
    "gaussian": [-2.0, 0.5, 3.0],
    "binomial": [-3.0, -1.0, 0.5, 2.0],
    "poisson": [-5.0, 0.1, 3.0],
    "gamma": [-4.0, -0.5, -1e-3],
    "inverse_gaussian": [-4.0, -0.5, -1e-3],
    "tweedie(1.5)": [-4.0, -0.5, -1e-2],
    "negative_binomial": [-4.0, -0.5, -1e-2],
}


@pytest.mark.parametrize("family", NATURAL)
def test_the_log_partition_generates_mean_and_variance(family):
    """A' is the mean, A'' the variance, and the canonical link inverts A'."""
    f, theta = FAMILIES[family], np.array(NATURAL[family])
    h = 1e-4 * np.abs(theta)
    a = lambda t: f.log_partition(t)  # noqa: E731
    slope = (8 * (a(theta + h) - a(theta - h)) - (a(theta + 2 * h) - a(theta - 2 * h))) / (12 * h)
    np.testing.assert_allclose(f.mean(theta), slope, rtol=1e-7)
    bend = (8 * (f.mean(theta + h) - f.mean(theta - h)) - (f.mean(theta + 2 * h) - f.mean(theta - 2 * h))) / (12 * h)
    np.testing.assert_allclose(f.variance(f.mean(theta)), bend, rtol=1e-7)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("tweedie(2.5)",)])
def test_densities_integrate_to_one_and_have_the_mean(family):
    f = FAMILIES[family]
    mu, phi = np.array([0.4]) if family == "binomial" else np.array([1.3]), 1.0 if f.dispersion_known else 0.4
    w = np.array([7.0]) if family == "binomial" else np.ones(1)
    if family == "binomial":
        y = np.arange(8) / 7
    elif f.dispersion_known:
        y = np.arange(400.0)
    else:
        y = None
    if y is not None:
        p = np.exp(f.log_density(y, mu, w, phi))
        assert abs(p.sum() - 1) < 1e-10
        assert abs((p * y).sum() - mu[0]) < 1e-9
        return
    from scipy.integrate import quad

    density = lambda t: float(np.exp(f.log_density(np.array([t]), mu, w, phi))[0])  # noqa: E731
    low, high = (-20, 20) if family == "gaussian" else (1e-12, 60)
    atom = float(np.exp(f.log_density(np.zeros(1), mu, w, phi))[0]) if f.name == "tweedie" else 0.0
    breaks = [0.01, 0.1, 0.5, 1, 2, 5]
    total = atom + quad(density, low, high, limit=400, points=breaks, epsabs=1e-11)[0]
    mean = quad(lambda t: t * density(t), low, high, limit=400, points=breaks, epsabs=1e-11)[0]
    assert abs(total - 1) < 2e-8
    assert abs(mean - mu[0]) < 2e-8


@pytest.mark.parametrize("family", FAMILIES)
def test_the_default_deviance_by_quadrature_agrees(family):
    f = FAMILIES[family]
    y, mu = np.array([0.3, 0.6, 0.9]), np.array([0.5, 0.5, 0.2])
    np.testing.assert_allclose(em.Family.unit_deviance(f, y, mu), f.unit_deviance(y, mu), rtol=1e-9)
    np.testing.assert_allclose(em.Family.variance_derivative(f, mu), f.variance_derivative(mu), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_have_the_mean_and_variance(family):
    if family == "tweedie(2.5)":
        pytest.skip("no sampler above power 2")
    f, phi = FAMILIES[family], 1.0 if FAMILIES[family].dispersion_known else 0.4
    n = 200_000
    mu = np.full(n, 0.4)
    y = f.sample(mu, phi, np.ones(n), np.random.default_rng(1))
    v = float(phi * f.variance(mu[:1])[0])
    assert abs(y.mean() - 0.4) < 5 * (v / n) ** 0.5
    assert abs(y.var() / v - 1) < 0.05
    assert f.support.contains(y).all()


@pytest.mark.parametrize(("which", "function"), list(enumerate(["exp", "log", "log1p", "expm1"])))
def test_vector_functions_to_two_ulp(which, function):
    core = native.core
    if core is None:
        pytest.skip("built without a compiler")
    rng = np.random.default_rng(0)
    x = {
        "exp": np.r_[rng.uniform(-745, 709, 3000), rng.normal(size=1000)],
        "log": np.r_[np.exp(rng.uniform(-744, 709, 3000)), 1 + rng.normal(size=1000) * 1e-3, 5e-324, 1e-310],
        "log1p": np.r_[rng.uniform(-0.999999, 1, 2000), rng.normal(size=1000) * 1e-8, np.exp(rng.uniform(-40, 700, 1000))],
        "expm1": np.r_[rng.uniform(-50, 709, 2000), rng.normal(size=2000) * 1e-3, rng.normal(size=500)],
    }[function]
    out = np.empty_like(x)
    core.function(which, x, out)
    with mp.workdps(40):
        exact_value = np.array([float(getattr(mp, function)(mpf(float(v)))) for v in x])
        ulp = np.spacing(np.abs(exact_value))
        error = np.array([float(abs(mpf(float(o)) - getattr(mp, function)(mpf(float(v))))) for o, v in zip(out, x, strict=True)]) / ulp
    assert error.max() <= 2.0
    edges = {
        "exp": [np.inf, -np.inf, np.nan, 710.0, -746.0, 0.0],
        "log": [np.inf, 0.0, -1.0, np.nan, 1.0],
        "log1p": [np.inf, -1.0, -2.0, np.nan, 0.0],
        "expm1": [np.inf, -np.inf, np.nan, 0.0, 710.0],
    }
    x = np.array(edges[function])
    out = np.empty_like(x)
    core.function(which, x, out)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out, getattr(np, function)(x))
