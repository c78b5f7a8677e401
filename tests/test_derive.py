"""Families from their log-partitions: the built-in ones derived again, new ones against hand-written ones, and what is refused."""

import json
import math
import pickle

import numpy as np
import pytest
from scipy import special, stats

import etamu as em
from etamu.arguments import _link_of
from etamu.errors import DerivationError, SpecificationError
from etamu.families import FAMILIES
from etamu.rows import row_terms

sympy = pytest.importorskip("sympy")
F = em.families
LEFT = -np.r_[1e-10, 1e-5, 0.1:5:0.3, 100, 700]
WHOLE = np.r_[-700:701:20.0, -10:10:0.7]

# log-partition, built-in family, its canonical link, its predictor over theta, thetas, responses
BUILT_IN = {
    "gaussian": ("theta^2/2", F.Gaussian(), "identity", 1.0, np.r_[-1e6, WHOLE, 1e9], [0.0, 1.0, -7.0, 300.1]),
    "binomial": ("log(1 + exp(theta))", F.Binomial(), "logit", 1.0, WHOLE, [0.0, 0.3, 1.0]),
    "poisson": ("exp(theta)", F.Poisson(), "log", 1.0, WHOLE, [0.0, 1.0, 7.0, 300.0]),
    "gamma": ("-log(-theta)", F.Gamma(), "inverse", -1.0, -np.r_[1e-100, 1e-10, 0.1:5:0.3, 1e3, 1e50], [0.5, 1.0, 300.0]),
    "inverse_gaussian": ("-sqrt(-2*theta)", F.InverseGaussian(), "inverse_squared", -2.0, -np.r_[1e-50, 1e-10, 0.1:5:0.3, 1e3, 1e50], [0.5, 1.0, 300.0]),
    "negative_binomial": ("-r*log(1 - exp(theta))", F.NegativeBinomial(theta=2.5), "canonical", 1.0, LEFT, [0.0, 1.0, 7.0, 300.0]),
    "tweedie": ("-4/theta", F.Tweedie(power=1.5), "power(-0.5)", -0.5, LEFT, [0.0, 1.0, 7.0, 300.0]),
}
PARAMETERS = {"negative_binomial": {"r": 2.5}}


def derived(name):
    text, *_ = BUILT_IN[name]
    return em.derive(text, **PARAMETERS.get(name, {}))


def test_every_family_with_a_log_partition_is_derived_again():
    borrowed = {"quasi", "quasi-poisson", "quasi-binomial"}  # variances without a distribution
    assert set(FAMILIES) - borrowed - {"multinomial"} == set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_family_is_recognised(name):
    _, family, *_ = BUILT_IN[name]
    assert derived(name).family == family


@pytest.mark.parametrize("name", BUILT_IN)
def test_row_terms_equal_the_built_in_ones_far_into_both_tails(name):
    _, family, link, factor, thetas, responses = BUILT_IN[name]
    found = derived(name).generic
    ours, theirs = found.canonical_link(), _link_of(link, family)
    ones = np.ones_like(thetas)
    for value in responses:
        y = np.full_like(thetas, value)
        a, b = row_terms(found, ours, y, thetas, ones), row_terms(family, theirs, y, factor * thetas, ones)
        close = {"rtol": 2e-12, "atol": 1e-290}  # of deviances near 0, which lose digits in either form
        np.testing.assert_allclose(a.deviance, b.deviance, **close)
        np.testing.assert_allclose(a.score, factor * b.score, rtol=2e-13, atol=1e-290)
        np.testing.assert_allclose(a.weight, factor**2 * b.weight, rtol=2e-13, atol=1e-290)
        inside = np.isfinite(a.pearson) & np.isfinite(b.pearson) & (b.weight > 1e-290) & (a.pearson < 1e290)
        np.testing.assert_allclose(a.pearson[inside], b.pearson[inside], rtol=2e-12, atol=1e-290)


@pytest.mark.parametrize("name", BUILT_IN)
def test_functions_of_the_mean_equal_the_built_in_ones(name):
    _, family, *_ = BUILT_IN[name]
    found = derived(name).generic
    mu = np.array([0.02, 0.3, 0.5, 0.9]) if math.isfinite(family.mean_space.high) else np.array([0.001, 0.3, 1.0, 40.0, 1e6])
    np.testing.assert_allclose(found.variance(mu), family.variance(mu), rtol=1e-13)
    np.testing.assert_allclose(found.variance_derivative(mu), np.broadcast_to(family.variance_derivative(mu), mu.shape), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.mean(found.theta(mu)), mu, rtol=1e-12)
    y = mu[::-1].copy()
    np.testing.assert_allclose(found.unit_deviance(y, mu), family.unit_deviance(y, mu), rtol=1e-11)


@pytest.mark.parametrize("name", BUILT_IN)
def test_fits_equal_the_built_in_ones(name):
    _, family, link, factor, *_ = BUILT_IN[name]
    rng = np.random.default_rng(5)
    X = rng.uniform(0.5, 1.5, size=(400, 2))
    mu = 1 / (1 + np.exp(1 - X[:, 0])) if name == "binomial" else 1 + X @ [0.5, 0.8]
    y = family.sample(mu, 0.2, np.ones(400), rng)
    mine, theirs = em.fit(X, y, family=derived(name).generic), em.fit(X, y, family=family, link=link)
    np.testing.assert_allclose(factor * mine.coef, theirs.coef, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(abs(factor) * mine.stderror(), theirs.stderror(), rtol=1e-6)
    assert mine.deviance == pytest.approx(theirs.deviance, rel=1e-10)
    if mine.family.likelihood:
        assert mine.loglik == pytest.approx(theirs.loglik, rel=1e-10)
    other = em.fit(X, y, family=derived(name).generic, link=family.default_link if name == "binomial" else "log")
    same = em.fit(X, y, family=family, link=other.link)
    np.testing.assert_allclose(other.coef, same.coef, rtol=1e-8, atol=1e-10)


# ---- families that are not built in ------------------------------------------------------------------------------


class TruncatedPoisson(em.Family):
    """Written by hand, for means that double precision can hold apart from 1."""

    name = "zero-truncated Poisson"
    support = F.Interval(1.0, math.inf, low_included=True)
    mean_space = F.Interval(1.0, math.inf)
    canonical = default_link = "log rate"
    dispersion_known = True

    def canonical_link(self):
        def mean(eta):
            return np.exp(eta) / -np.expm1(-np.exp(eta))

        return em.Link("log rate", lambda mu: np.log(self.rate(mu)), mean, lambda eta: mean(eta) * (1 + np.exp(eta) - mean(eta)), domain=(-math.inf, math.inf))

    def rate(self, mu):
        low, high = np.full_like(mu, 1e-12), mu.astype(float)
        for _ in range(200):
            middle = 0.5 * (low + high)
            over = middle / -np.expm1(-middle) > mu
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return 0.5 * (low + high)

    def variance(self, mu):
        return mu * (1 + self.rate(mu) - mu)

    def log_density(self, y, mu, w, phi):
        rate = self.rate(mu)
        return w * (y * np.log(rate) - rate - np.log(-np.expm1(-rate)) - special.gammaln(y + 1))


class Geometric(em.Family):
    name = "geometric"
    support = mean_space = F.NONNEGATIVE
    canonical = default_link = "log odds"
    dispersion_known = True

    def canonical_link(self):
        return em.Link(
            "log odds",
            lambda mu: np.log(mu / (1 + mu)),
            lambda eta: 1 / np.expm1(-eta),
            lambda eta: np.exp(-eta) / np.expm1(-eta) ** 2,
            domain=(-math.inf, 0.0),
        )

    def variance(self, mu):
        return mu * (1 + mu)

    def log_density(self, y, mu, w, phi):
        return w * (y * np.log(mu / (1 + mu)) - np.log1p(mu))


def damage():
    """Ships with at least one incident, and all of them: counts with a covariate."""
    ships = em.datasets.ships()
    months = np.where(ships["service"] > 0, ships["service"], np.nan)
    y = np.asarray(ships["incidents"], dtype=float)
    used = np.isfinite(months)
    return np.log(months[used])[:, None] - 7.0, y[used]


@pytest.mark.parametrize(("text", "hand", "positive"), [("log(exp(exp(theta)) - 1)", TruncatedPoisson(), True), ("-log(1 - exp(theta))", Geometric(), False)])
def test_standard_errors_equal_a_hand_written_family(text, hand, positive):
    x, y = damage()
    x, y = (x[y > 0], y[y > 0]) if positive else (x, y)
    ours, theirs = em.fit(x, y, family=em.derive(text).generic), em.fit(x, y, family=hand)
    np.testing.assert_allclose(ours.coef, theirs.coef, rtol=1e-9)
    np.testing.assert_allclose(ours.stderror(), theirs.stderror(), rtol=1e-9)
    assert ours.loglik == pytest.approx(theirs.loglik, rel=1e-9)
    assert ours.aic == pytest.approx(theirs.aic, rel=1e-9)


def test_the_score_equation_of_a_new_family_holds():
    rng = np.random.default_rng(3)
    X = np.c_[np.ones(800), rng.normal(size=(800, 2))]
    y = rng.poisson(np.exp(X @ [0.4, 0.3, -0.2])).astype(float)
    X, y = X[y > 0], y[y > 0]
    fit = em.fit(X, y, family=em.derive("log(exp(exp(theta)) - 1)").family, intercept=False)
    rate = np.exp(X @ fit.coef)
    mean = rate / -np.expm1(-rate)
    information = X.T @ ((mean * (1 + rate - mean))[:, None] * X)
    assert np.abs(X.T @ (y - mean)).max() < 1e-9 * len(y)
    np.testing.assert_allclose(fit.stderror(), np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "theta", "log_probability"),
    [
        ("exp(theta)", 1.3, lambda k: stats.poisson.logpmf(k, math.exp(1.3))),
        ("5*log(1 + exp(theta))", 0.4, lambda k: stats.binom.logpmf(k, 5, special.expit(0.4))),
        ("-2.5*log(1 - exp(theta))", -0.3, lambda k: stats.nbinom.logpmf(k, 2.5, -math.expm1(-0.3))),
        ("log(-log(1 - exp(theta)))", -0.2, lambda k: stats.logser.logpmf(k, math.exp(-0.2))),
        ("log(1 + exp(theta) + exp(2*theta))", 0.7, lambda k: 0.7 * k - math.log(1 + math.exp(0.7) + math.exp(1.4)) if 0 <= k <= 2 else -math.inf),
    ],
)
def test_probabilities_follow_from_the_log_partition(text, theta, log_probability):
    family = em.derive(text).generic
    mu = family.mean(np.array([theta]))
    low = family.support.low
    for k in range(int(low), int(low) + 6):
        if family.support.holds(float(k)):
            found = family.log_density(np.array([float(k)]), mu, np.ones(1), 1.0)[0]
            assert found == pytest.approx(log_probability(k), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "log(exp(exp(theta)) - 1)",
        "log(-log(1 - exp(theta)))",
        "log(cosh(theta))",
        "2*cosh(theta)",
        "-log(cos(theta))",
        "log(sinh(theta)/theta)",
        "theta*log(theta) - theta",
    ],
)
def test_tables_are_right_to_the_last_digits(text):
    """Against mpmath at 50 digits: the mean, the variance and the deviance."""
    import mpmath

    found = em.derive(text)
    family = found.generic
    low, high = family.space
    thetas = (
        np.r_[-30:30:1.7]
        if math.isinf(low) and math.isinf(high)
        else -np.geomspace(1e-6, 50, 20)
        if math.isinf(low)
        else np.linspace(0.01, 0.99, 20) * (high - low) + low
    )
    thetas = np.geomspace(1e-6, 50, 20) if low == 0 and math.isinf(high) else thetas
    a = sympy.lambdify(sympy.Symbol("theta", real=True), found.expression, "mpmath")
    with mpmath.workdps(120):
        mean = [float(mpmath.re(mpmath.diff(a, mpmath.mpf(float(t)), h=mpmath.mpf(10) ** -40 * abs(float(t))))) for t in thetas]
        variance = [float(mpmath.re(mpmath.diff(a, mpmath.mpf(float(t)), 2, h=mpmath.mpf(10) ** -30 * abs(float(t))))) for t in thetas]
    np.testing.assert_allclose(family.mean(thetas), mean, rtol=2e-14, atol=1e-15)
    np.testing.assert_allclose(family.canonical_link().dmu(thetas), variance, rtol=2e-14)


def test_numpy_and_the_core_read_tables_alike(monkeypatch):
    from etamu.derivation import panels

    family = em.derive("log(exp(exp(theta)) - 1)").generic
    theta, y = np.linspace(-20, 4, 500), np.tile([1.0, 2.0, 3.0, 9.0, 14.0], 100)
    before = family.mean(theta), family.canonical_link().dmu(theta), family._deviance(y, theta)
    monkeypatch.setattr(panels, "core", None)
    after = family.mean(theta), family.canonical_link().dmu(theta), family._deviance(y, theta)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-15, atol=1e-300)


def test_threads_and_ways_of_adding_change_nothing():
    family = em.derive("log(exp(exp(theta)) - 1)").family
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60_000, 3))
    y = np.maximum(rng.poisson(np.exp(0.5 + 0.3 * X[:, 0])), 1)
    one, two = (em.fit(X, y, family=family, control=em.Control(threads=k)) for k in (1, 2))
    assert (one.coef == two.coef).all()
    assert (one.stderror() == two.stderror()).all()


# ---- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("log(1 + exp(theta))", "Bernoulli"),
        ("3*log(1 + exp(theta))", "binomial with 3 trials"),
        ("2*theta^2", "Gaussian with variance 4"),
        ("exp(theta) + 7", "Poisson"),
        ("-2*log(-theta)", "gamma with shape 2"),
        ("-log(1 - exp(theta))", "geometric"),
        ("-2*log(1 - exp(theta))", "negative binomial with size 2"),
        ("log(exp(exp(theta)) - 1)", "zero-truncated Poisson"),
        ("-log(cos(theta))", "generalised hyperbolic secant"),
        ("-4/theta", "Tweedie of power 1.5 (compound Poisson of gammas)"),
        ("log(sum(exp(theta)))", "multinomial"),
    ],
)
def test_it_says_what_it_has_derived(text, name):
    assert name in repr(em.derive(text))
    assert "y - mu" in str(em.derive(text)).replace("Y - mu", "y - mu")


def test_formulas_of_the_sigmoid():
    found = em.derive("log(1 + exp(theta))")
    assert found.variance_function == "mu*(1 - mu)"
    assert found.link == "log(mu/(1 - mu))"
    assert "sigmoid" in str(found)
    assert r"\theta" in found.latex["mean"]
    assert set(found.latex) == {"log_partition", "mean", "variance", "link", "variance_function", "unit_deviance"}
    assert "$$" in found._repr_markdown_()


@pytest.mark.parametrize("name", BUILT_IN)
def test_displayed_formulas_are_equal_to_the_functions(name):
    found = derived(name)
    _, family, *_ = BUILT_IN[name]
    mu, y = (0.3, 0.6) if name == "binomial" else (1.3, 2.1)
    read = {"mu": mu, "y": y}
    value = float(sympy.sympify(found.unit_deviance.replace("^", "**"), locals={"E": sympy.E}).subs(read))
    assert value == pytest.approx(float(family.unit_deviance(np.array([y]), np.array([mu]))[0]), rel=1e-9)
    assert float(sympy.sympify(found.variance_function.replace("^", "**")).subs(read)) == pytest.approx(float(family.variance(np.array([mu]))[0]), rel=1e-12)


def test_several_classes():
    softmax = em.derive("log(sum(exp(theta)))")
    X, y, _ = em.datasets.make_softmax(500, seed=2)
    fit = em.fit(X[:, 1:], y, family=softmax.family)
    np.testing.assert_allclose(fit.coef, em.fit(X[:, 1:], y, family="softmax").coef)
    assert not softmax.reference
    assert em.derive("log(1 + sum(exp(theta)))").reference
    theta = dict(zip(softmax.thetas, (0.2, -0.4, 1.1), strict=True))
    mu = em.families.Multinomial().mean(np.array([list(theta.values())]))[0]
    np.testing.assert_allclose([float(g.subs(theta)) for g in softmax.gradient], mu, rtol=1e-14)
    hessian = np.array(softmax.hessian.subs(theta)).astype(float)
    np.testing.assert_allclose(hessian, np.diag(mu) - np.outer(mu, mu), atol=1e-15)
    np.testing.assert_allclose(hessian @ np.ones(3), 0, atol=1e-15)  # the freedom: one direction without curvature


# ---- what is refused ------------------------------------------------------------------------------------------------

REFUSED = {
    "-theta^2": "not convex",
    "theta^3": "not convex",
    "sin(theta)": "not convex",
    "log(theta - 2)": "not convex",
    "-exp(theta)": "not convex",
    "theta^4 - 3*theta^2": "not convex",
    "3*theta": "not strictly convex",
    "5": "does not depend on theta",
    "log(-exp(theta))": "no domain",
    "sqrt(-1 - theta^2)": "no domain",
    "theta/0": "no domain",
    "log(0*theta)": "no domain",
    "-log(theta^2)/2": "not convex between",
    "0.5*log(1 + exp(theta))": "no distribution has it",
    "theta^4/4 + theta^2/2": "no distribution has it",
    "sqrt(1 + theta^2)": "no distribution has it",
    "log(1 + exp(theta)": "not an expression",
    "": "not an expression",
    "2 theta": "not an expression",
    "theta +": "not an expression",
    "x + theta^2": "neither theta nor a parameter",
    "foo(theta)": "does not exist",
    "exp(theta, 2)": "takes 1 argument",
    "theta ~ 2": "not an arithmetic expression",
    "'theta'": "not an arithmetic expression",
    "9^9^9^9 * theta^2": "power beyond",
    "theta^1e9": "power beyond",
    "(" * 300 + "theta" + ")" * 300: "nests deeper",
    "+".join(["exp(theta)"] * 400): "characters",
    "__import__('os').system('true')": "not an",
    "exp(theta).__class__": "not an expression",
    "sum(theta^2)": "independent",
    "sum(exp(theta))": "independent",
    "log(sum(exp(2*theta)))": "not the softmax",
    "theta + sum(exp(theta))": "outside of sum",
    "sum(3)": "sum() adds a function",
}


@pytest.mark.parametrize("text", REFUSED, ids=[t[:30] for t in REFUSED])
def test_what_is_no_log_partition_is_refused_with_the_condition(text):
    with pytest.raises(DerivationError, match="log_partition") as caught:
        em.derive(text)
    assert REFUSED[text] in str(caught.value)


def test_where_convexity_fails_is_told():
    with pytest.raises(DerivationError, match=r"A''\(.*\) = -\d"):
        em.derive("theta^4 - 3*theta^2")


@pytest.mark.parametrize("arguments", [{"r": float("nan")}, {"r": "2"}, {"exp": 2.0}, {"theta": 1.0}, {"r": True}, {"name": ""}, {"name": 3}])
def test_odd_arguments(arguments):
    with pytest.raises(SpecificationError):
        em.derive("exp(theta)", **arguments)
    with pytest.raises(SpecificationError):
        em.derive(3)
    with pytest.raises(em.errors.UnknownNameError):
        em.derive("exp(theta)", dispersion="maybe")


def test_responses_outside_of_the_support_are_refused():
    positive = em.derive("log(exp(exp(theta)) - 1)").family
    with pytest.raises(em.errors.ResponseError, match="support"):
        em.fit([1.0, 2.0, 3.0], [0, 1, 2], family=positive)


# ---- files and the command line ------------------------------------------------------------------------------------


def test_models_of_derived_families_are_saved(tmp_path):
    x, y = damage()
    fit = em.fit(x, y, family=em.derive("-r*log(1 - exp(theta))", r=1.5).generic)
    fit.save(tmp_path / "model.json")
    again = em.load(tmp_path / "model.json")
    np.testing.assert_array_equal(again.predict(x), fit.predict(x))
    assert again.family == fit.family
    content = json.loads((tmp_path / "model.json").read_text())
    content["family"]["log_partition"] = "-theta^2"
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(em.errors.ModelFileError, match="not convex"):
        em.load(tmp_path / "bad.json")


def test_derived_families_are_pickled():
    family = em.derive("log(exp(exp(theta)) - 1)", name="positive counts").family
    again = pickle.loads(pickle.dumps(family))
    assert again == family
    assert again.name == "positive counts"


def test_the_command_line(tmp_path):
    from click.testing import CliRunner

    from etamu.cli import main

    run = CliRunner().invoke
    shown = run(main, ["derive", "-r*log(1 - exp(theta))", "--set", "r=2"])
    assert shown.exit_code == 0
    assert "negative binomial with size 2" in shown.output
    assert r"\theta" in run(main, ["derive", "exp(theta)", "--latex"]).output
    refused = run(main, ["derive", "-theta^2"])
    assert refused.exit_code == 2
    assert "not convex" in refused.output
    assert run(main, ["derive", "exp(theta)", "--set", "r"]).exit_code == 2
    x, y = damage()
    (tmp_path / "ships.csv").write_text("x,y\n" + "\n".join(f"{float(a)!r},{int(b)}" for a, b in zip(x[:, 0], y, strict=True)))
    arguments = ["fit", str(tmp_path / "ships.csv"), "y ~ x", "--log-partition", "-r*log(1 - exp(theta))", "--set", "r=2", "--link", "log"]
    fitted = run(main, [*arguments, "--out", str(tmp_path / "m.json")])
    assert fitted.exit_code == 0, fitted.output
    expected = em.fit(x, y, family="negative_binomial(2)", link="log")
    np.testing.assert_allclose(em.load(tmp_path / "m.json").coef, expected.coef, rtol=1e-9)


# ---- once wrong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mu", "theta"),
    [
        ("exp(exp(theta))", [0.1, 3.0], [math.log(special.lambertw(0.1).real), math.log(special.lambertw(3.0).real)]),
        ("5*exp(theta)", [1e-30, 0.5], [math.log(2e-31), math.log(0.1)]),
        ("exp(2*theta)", [1.0, 1e100], [0.5 * math.log(0.5), 0.5 * math.log(0.5e100)]),
        ("log(1 + exp(theta))", [1e-12, 0.5, 1e-20], [math.log(1e-12) - math.log1p(-1e-12), 0.0, math.log(1e-20)]),
    ],
)
def test_means_far_from_each_other_have_their_own_theta(text, mu, theta):
    np.testing.assert_allclose(em.derive(text).generic.theta(np.array(mu)), theta, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "mean_space", "included"),
    [
        ("-2.5*log(1 - exp(theta)/3)", (0.0, math.inf), (True, False)),
        ("-log(1 - theta - theta^2)", (-math.inf, math.inf), (False, False)),
        ("log((1 + exp(theta))^5 - 1)", (1.0, 5.0), (True, True)),
        ("log(exp(exp(theta)) - 1 - exp(theta))", (2.0, math.inf), (True, False)),
        ("-log(1000 - theta)", (0.0, math.inf), (False, False)),
        ("1/theta^2", (0.0, math.inf), (True, False)),
        ("log(1 + exp(100*theta))", (0.0, 100.0), (True, True)),
        ("log(1 + exp(2*theta + 1))", (0.0, 2.0), (True, True)),
        ("-log(1 - exp(theta)) + exp(theta)", (0.0, math.inf), (True, False)),
    ],
)
def test_supports(text, mean_space, included):
    family = em.derive(text).generic
    assert (family.support.low, family.support.high) == mean_space
    assert (family.support.low_included, family.support.high_included) == included


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("((1 + theta)^100)^100", "power beyond"),
        ("((9^99)^99)*theta^2", "beyond the range"),
        ("sqrt(theta^2)", "absolute value"),
        ("sqrt(-1)^2*theta^2", "negative number"),
        ("theta^log(-1)", "negative number"),
        ("sin(" * 20 + "theta" + ")" * 20, "deep"),
        ("theta^2/2 + 1e-3*theta^4", "Marcinkiewicz"),
        ("theta^2/2 + 0.01*cos(theta)", "at most 1"),
    ],
)
def test_refused_since_a_review(text, words):
    with pytest.raises(DerivationError, match=words):
        em.derive(text)


def test_far_tails_tend_to_the_ends():
    family = em.derive("log(exp(exp(theta)) - 1)").family
    np.testing.assert_array_equal(family.mean(np.array([-1500.0, -1e15])), [1.0, 1.0])
    fit = em.fit([0.0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 3, 2, 4, 3], family=family)
    assert fit.separation().separated.sum() == 4


def test_probabilities_far_out_and_impossible():
    count = em.derive("exp(theta)").generic
    found = count.log_density(np.array([1e7]), np.array([1e6]), np.ones(1), 1.0)[0]
    assert found == pytest.approx(stats.poisson.logpmf(1e7, 1e6), rel=1e-10)
    three = em.derive("3*log(cosh(theta))").generic  # odd numbers only
    assert three.log_density(np.array([-2.0, 0.0]), np.zeros(2) + 0.1, np.ones(2), 1.0).tolist() == [-math.inf, -math.inf]
    with pytest.raises(em.errors.UndefinedStatisticError, match="whole numbers"):
        _ = em.fit([0.0, 0, 1, 1], [0.5, 0.25, 0.75, 0.5], family=em.derive("log(1 + exp(theta))").generic, weights=[4.0] * 4).loglik


def test_what_is_asked_for_is_kept():
    assert em.derive("exp(theta)", name="mine").family.name == "mine"
    assert not em.derive("exp(theta)", dispersion="estimated").family.dispersion_known
    with pytest.raises(SpecificationError, match="built-in"):
        em.derive("exp(theta)", name="poisson")


def test_fits_and_derivations_are_pickled():
    found = em.derive("log(exp(exp(theta)) - 1)")
    fit = em.fit([0.0, 0, 1, 1], [1, 2, 3, 2], family=found.family)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fit)).coef, fit.coef)
    assert repr(pickle.loads(pickle.dumps(found))) == repr(found)


def test_a_step_beyond_the_range_of_doubles_does_not_hang():
    x = np.random.default_rng(0).normal(size=300)
    y = 0.3 + x + 0.8 * np.random.default_rng(1).normal(size=300)
    assert em.fit(x, y, family=em.derive("theta*log(theta) - theta").generic, link="identity").converged
    assert np.isnan(em.derive("(-theta)^1.5").generic._deviance(np.array([1.0, 1.0]), np.array([0.0, 0.5]))).all()
