"""The pages of docs/coming-from/ promise the peers' numbers: here etamu gives them, from the peers' own fits in coming_from.json.

The file is written by reference/make_coming_from.py and make_coming_from.R; nothing of the peers is needed to read it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import etamu as em

PEERS = json.loads((Path(__file__).parent / "reference" / "coming_from.json").read_text())
DOCS = Path(__file__).parent.parent / "docs"
R, STATSMODELS, SCIKIT_LEARN, GLUM = (PEERS[name] for name in ("r", "statsmodels", "scikit-learn", "glum"))
BREAKS = em.datasets.warpbreaks()
CLOTTING = em.datasets.clotting()
SHIPS = {name: values[em.datasets.ships()["service"] > 0] for name, values in em.datasets.ships().items()}
LOOM = np.arange(54) // 9
ORDERED = "C(tension, levels=['L', 'M', 'H'])"  # the order that R's data set has
RATE = "incidents ~ type + C(year) + C(period)"
# R's standard errors come from the weights of its last iteration but one, so they stop at eight or nine digits however long it runs
R_ERRORS = 1e-7


def close(ours, theirs, rtol=1e-9, atol=0.0):
    np.testing.assert_allclose(np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float), rtol=rtol, atol=atol)


def check_basics(fit, want):
    close(fit.coef, want["coef"])
    close(fit.stderror(), want["stderror"], R_ERRORS)
    close([fit.deviance, fit.null_deviance, fit.df_residual], [want["deviance"], want["null_deviance"], want["df_residual"]])
    if "dispersion" in want:
        close(fit.dispersion, want["dispersion"], R_ERRORS)
    if "loglik" in want:
        close([fit.loglik, fit.aic, fit.bic], [want["loglik"], want["aic"], want["bic"]])


def test_versions_are_named():
    assert {"R", "MASS", "sandwich", "car", "emmeans", "nnet", "brglm2", "statsmodels", "scikit-learn", "glum"} <= set(PEERS["versions"])


# ---- R ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["cbind(killed, n - killed) ~ dose", "killed / n ~ dose"])
def test_r_binomial(formula):
    want, data = R["beetles"], em.datasets.beetles()
    fit = em.glm(formula, data, family="binomial", link="cloglog", weights=None if "cbind" in formula else "n")
    check_basics(fit, want)
    close(fit.confint(method="profile"), want["profile"], 1e-4)  # R interpolates the profile by splines
    found = fit.predict({"dose": [1.7, 1.8]}, "link", se=True)
    close(found.fit, want["link"])
    close(found.stderror, want["link_se"], R_ERRORS)
    close(fit.residuals("pearson"), want["pearson"], R_ERRORS, 1e-9)
    close(fit.influence().cooks_distance, want["cook"], R_ERRORS)


@pytest.mark.parametrize("offset", [{"exposure": "service"}, {"offset": "log(service)"}, {}])
def test_r_rates(offset):
    want = R["ships"]
    fit = em.glm(RATE if offset else f"{RATE} + offset(log(service))", SHIPS, family="quasi-poisson", **offset)
    check_basics(fit, want)
    table = fit.drop1("f")
    for ours, theirs in (("df", "df"), ("statistic", "f"), ("p_value", "p")):
        close(table[ours][1:], want["drop1"][theirs], R_ERRORS)


def test_r_counts():
    want = R["warpbreaks"]
    fit = em.glm(f"breaks ~ wool + {ORDERED}", BREAKS, family="poisson")
    check_basics(fit, want)
    for kind in ("HC0", "HC3"):
        close(fit.stderror(kind), want[kind.lower()], R_ERRORS)
    close(fit.stderror(em.vcov.Cluster(LOOM)), want["cluster"], R_ERRORS)
    two = fit.anova(type=2)
    close([two["df"], two["statistic"]], [want["anova2"]["df"], want["anova2"]["statistic"]])
    close(two["p_value"], want["anova2"]["p"], 1e-7)
    equal = fit.test("tension[M] = tension[H]")
    close([equal.statistic, equal.p_value], [want["hypothesis"]["statistic"], want["hypothesis"]["p"]], R_ERRORS)
    bigger = em.glm(f"breaks ~ wool * {ORDERED}", BREAKS, family="poisson")
    compared = fit.anova(bigger)
    close([compared["deviance"][1], compared["p_value"][1]], [want["compared"]["deviance"], want["compared"]["p"]], 1e-7)


def test_r_marginal_means():
    want = R["warpbreaks"]
    fit = em.glm(f"breaks ~ wool + {ORDERED}", BREAKS, family="poisson")
    means = fit.adjusted("tension", kind="link")
    close(means["estimate"], want["emmeans"]["link"])
    close(means["stderror"], want["emmeans"]["link_se"], R_ERRORS)
    close(np.exp(means["estimate"]), want["emmeans"]["response"])
    pairs = fit.adjusted("tension", kind="link", contrast="pairwise")
    close(-pairs["estimate"], want["pairs"]["estimate"])  # second less first here, first less second there
    close(pairs["stderror"], want["pairs"]["stderror"], R_ERRORS)


def test_r_negative_binomial():
    want = R["negative_binomial"]
    fit = em.glm(f"breaks ~ wool * {ORDERED}", BREAKS, family=em.families.NegativeBinomial(theta=None))
    check_basics(fit, want)
    close([fit.shape.estimate, fit.shape.stderror], [want["theta"], want["theta_se"]], 1e-6)  # MASS's last step of theta is 1e-7 away


def test_r_classes():
    want = R["multinom"]
    fit = em.glm("tension ~ breaks", BREAKS | {"tension": _in_order(BREAKS["tension"])}, family="multinomial")
    close(fit.coef.T, want["coef"], 1e-6)  # nnet's BFGS stops where the deviance no longer falls, which leaves half its digits
    close(fit.stderror().T, want["stderror"], 1e-5)
    close([fit.deviance, fit.aic], [want["deviance"], want["aic"]])


def _in_order(labels):
    """Levels L, M, H are sorted as a, b, c."""
    return np.array([{"L": "a", "M": "b", "H": "c"}[v] for v in labels])


def test_r_bias_reduction():
    want = R["firth"]
    fit = em.glm("y ~ x", {"x": [1.0, 2, 3, 4, 5, 6], "y": [0, 0, 0, 1, 1, 1]}, family="binomial", bias="mean")
    close(fit.coef, want["coef"])
    close(fit.stderror(), want["stderror"], R_ERRORS)
    close(fit.deviance, want["deviance"])


# ---- statsmodels --------------------------------------------------------------------------------------------------


def test_statsmodels_gamma():
    want = STATSMODELS["gamma"]
    fit = em.glm("lot1 ~ log(u)", CLOTTING, family="gamma", link="log")
    close(fit.coef, want["coef"])
    close(fit.stderror(), want["stderror"])
    close([fit.dispersion, fit.deviance], [want["scale"], want["deviance"]])
    close(fit.confint(distribution="z"), want["conf_int"])
    # their likelihood takes Pearson's dispersion, R's and ours the deviance over n; and their AIC counts no dispersion
    density = fit.family.log_density(CLOTTING["lot1"], fit.fitted, np.ones(9), fit.dispersion)
    close(density.sum(), want["llf"])
    close(-2 * density.sum() + 2 * fit.rank, want["aic"])
    assert abs(fit.aic - want["aic"]) > 1


@pytest.mark.parametrize(("ours", "theirs"), [("frequency", "freq_weights"), ("weights", "var_weights")])
def test_statsmodels_weights(ours, theirs):
    want = STATSMODELS["weights"][theirs]
    fit = em.glm("lot1 ~ log(u)", CLOTTING, family="gamma", link="log", **{ours: np.array([1, 2, 1, 1, 3, 1, 1, 1, 2])})
    close(fit.coef, want["coef"])
    close(fit.stderror(), want["stderror"])
    assert fit.df_residual == want["df_resid"]


def test_statsmodels_robust():
    want = STATSMODELS["warpbreaks"]
    fit = em.glm("breaks ~ wool + tension", BREAKS, family="poisson")
    close(fit.coef, want["coef"])
    close(fit.stderror(em.vcov.Cluster(LOOM, correction="CR1S")), want["cluster"])
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        close(fit.stderror("HC0"), want[kind])  # of a GLM all four are HC0 there


def test_statsmodels_scale():
    want = STATSMODELS["ships"]
    plain = em.glm(RATE, SHIPS, family="poisson", exposure="service")
    scaled = em.glm(RATE, SHIPS, family="quasi-poisson", exposure="service")
    close(plain.coef, want["coef"])
    close(plain.stderror(), want["stderror"])
    close(scaled.stderror(), want["scaled_stderror"])
    close(scaled.dispersion, want["scale"])


def test_statsmodels_negative_binomial():
    want = STATSMODELS["negative_binomial"]
    fit = em.glm("breaks ~ wool * tension", BREAKS, family=em.families.NegativeBinomial(theta=None))
    close([*fit.coef, 1 / fit.shape.estimate], want["params"], 1e-8)  # both find theta by iteration
    close(fit.stderror(), want["bse"][:-1], 1e-6)  # of a Hessian by numbers there
    close(fit.shape.stderror / fit.shape.estimate**2, want["bse"][-1], 1e-6)
    close([fit.loglik, fit.aic], [want["llf"], want["aic"]])


def test_statsmodels_classes():
    want = STATSMODELS["mnlogit"]
    fit = em.glm("tension ~ breaks", BREAKS, family="multinomial")
    close(fit.coef, want["params"])
    close(fit.stderror(), want["bse"])


# ---- scikit-learn -------------------------------------------------------------------------------------------------


def _launches():
    data = em.datasets.orings()
    return {"damaged": data["damaged"] > 0, "warmer": (data["temperature"] - 70) / 10}


def test_scikit_learn_logistic():
    want, data = SCIKIT_LEARN["logistic"], _launches()
    n = len(data["damaged"])
    close(em.glm("damaged ~ warmer", data, family="binomial").coef, want["infinite_C"])
    close(em.glm("damaged ~ warmer", data, family="binomial", ridge=1 / n).coef, want["default_C"])
    close(em.glm("damaged ~ warmer", data, family="binomial").coef, want["infinite_C_default_tol"], 1e-3)  # their default tolerance


def test_scikit_learn_poisson():
    want = SCIKIT_LEARN["poisson"]
    fit = em.glm(RATE, SHIPS, family="poisson", exposure="service")
    close(fit.coef, want["alpha_0"])  # counts with an exposure are rates with the exposure as weight
    close(fit.measures()["deviance_r2"], want["d2_alpha_0"])
    rates = SHIPS | {"rate": SHIPS["incidents"] / SHIPS["service"]}
    same = em.glm("rate ~ type + C(year) + C(period)", rates, family="poisson", weights="service")
    close(same.coef, want["alpha_0"])
    shrunk = em.glm("rate ~ type + C(year) + C(period)", rates, family="poisson", weights="service", ridge=0.01)
    close(shrunk.coef, want["alpha_0.01"])


def test_scikit_learn_ridge():
    close(em.glm("lot1 ~ log(u)", CLOTTING, ridge=1 / 9).coef, SCIKIT_LEARN["ridge"])


def test_scikit_learn_softmax():
    want = SCIKIT_LEARN["softmax"]
    fit = em.glm("tension ~ breaks", BREAKS, family=em.families.Multinomial(reference=None))
    close(fit.coef[0], want["intercept"], 1e-8)  # their newton-cg stops at a gradient of 1e-12
    close(fit.coef[1:].T, want["coef"], 1e-8, 1e-12)


# ---- glum ---------------------------------------------------------------------------------------------------------


def test_glum_ships():
    want = GLUM["ships"]
    fit = em.glm(RATE, SHIPS, family="poisson", exposure="service")
    close(fit.coef, want["coef"])
    close(fit.coef, want["coef_default_tol"], 1e-5)  # their default tolerance
    close(fit.stderror("HC1"), want["stderror_default"])
    close(fit.stderror(em.vcov.Cluster(SHIPS["type"], correction="CR1S")), want["stderror_clusters"])
    # theirs are scaled by a dispersion even of a Poisson fit, and by n/(n - p)
    phi, n = fit.pearson / fit.df_residual, fit.nobs
    close(fit.stderror() * np.sqrt(phi * n / fit.df_residual), want["stderror_not_robust"])
    close(em.glm(RATE, SHIPS, family="poisson", exposure="service", ridge=0.01).coef, want["ridge_alpha_0.01"])


def test_glum_gamma():
    want = GLUM["gamma"]
    fit = em.glm("lot1 ~ log(u)", CLOTTING, family="gamma", link="log")
    close(fit.coef, want["coef"])
    close(fit.stderror() * np.sqrt(9 / 7), want["stderror_not_robust"])
    observed = em.glm("lot1 ~ log(u)", CLOTTING, family="gamma", link="log", control=em.Control(information="observed"))
    close(observed.stderror("HC1"), want["stderror_robust"])  # robust errors there take the observed information
