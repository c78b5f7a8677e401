"""The fits of docs/coming-from/ as R, statsmodels, scikit-learn and glum make them: writes coming_from.json beside this file.

Run from anywhere, with etamu importable for its data sets:  python make_coming_from.py
Needs statsmodels, scikit-learn, glum, pandas, and Rscript with the packages that make_coming_from.R names.  Peers iterate until their
coefficients rest; their other settings are their defaults, unless the name of a number says otherwise.
"""

import csv
import json
import subprocess
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from glum import GeneralizedLinearRegressor
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

import etamu as em

HERE = Path(__file__).parent


def numbers(x):
    """Plain lists and floats, to the last bit."""
    return np.asarray(x, dtype=float).tolist()


def from_r():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("beetles", "ships", "warpbreaks"):
            table = em.datasets.CLASSICS[name]()
            with Path(folder, f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(table)
                writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
        run = subprocess.run(["Rscript", str(HERE / "make_coming_from.R"), folder], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def from_statsmodels():
    log = sm.families.links.Log()
    clotting, breaks = pd.DataFrame(em.datasets.clotting()), pd.DataFrame(em.datasets.warpbreaks())
    ships = pd.DataFrame(em.datasets.ships()).query("service > 0")
    rest = dict(tol=1e-14, maxiter=200)

    gamma = smf.glm("lot1 ~ np.log(u)", clotting, family=sm.families.Gamma(log)).fit(**rest)
    repeats = np.array([1, 2, 1, 1, 3, 1, 1, 1, 2])
    weighted = {
        kind: smf.glm("lot1 ~ np.log(u)", clotting, family=sm.families.Gamma(log), **{kind: repeats}).fit(**rest) for kind in ("freq_weights", "var_weights")
    }
    count = smf.glm("breaks ~ wool + tension", breaks, family=sm.families.Poisson())
    robust = {kind: numbers(count.fit(cov_type=kind, **rest).bse) for kind in ("HC0", "HC1", "HC2", "HC3")}
    cluster = count.fit(cov_type="cluster", cov_kwds={"groups": np.arange(54) // 9}, **rest)
    rate = smf.glm("incidents ~ type + C(year) + C(period)", ships, family=sm.families.Poisson(), exposure=ships["service"])
    plain, scaled = rate.fit(**rest), rate.fit(scale="X2", **rest)
    nb = smf.negativebinomial("breaks ~ wool * tension", breaks).fit(disp=0, method="newton", tol=1e-14, maxiter=200)
    classes = sm.MNLogit(pd.Categorical(breaks["tension"]).codes, sm.add_constant(breaks["breaks"])).fit(disp=0, method="newton", tol=1e-14)
    return {
        "gamma": {
            "coef": numbers(gamma.params),
            "stderror": numbers(gamma.bse),
            "scale": gamma.scale,
            "deviance": gamma.deviance,
            "llf": gamma.llf,
            "aic": gamma.aic,
            "bic_llf": gamma.bic_llf,
            "pvalues": numbers(gamma.pvalues),
            "conf_int": numbers(gamma.conf_int()),
        },
        "weights": {kind: {"coef": numbers(fit.params), "stderror": numbers(fit.bse), "df_resid": float(fit.df_resid)} for kind, fit in weighted.items()},
        "warpbreaks": {"coef": numbers(cluster.params), "cluster": numbers(cluster.bse), **robust},
        "ships": {"coef": numbers(plain.params), "stderror": numbers(plain.bse), "scaled_stderror": numbers(scaled.bse), "scale": scaled.scale},
        "negative_binomial": {"params": numbers(nb.params), "bse": numbers(nb.bse), "llf": nb.llf, "aic": nb.aic},
        "mnlogit": {"params": numbers(classes.params), "bse": numbers(classes.bse)},
    }


def from_scikit_learn():
    orings = em.datasets.orings()
    X, y = ((orings["temperature"] - 70) / 10)[:, None], orings["damaged"] > 0
    rest = dict(tol=1e-12, max_iter=10_000)
    exact = dict(solver="newton-cholesky", **rest)  # the default solver, lbfgs, stops at a gradient that leaves some five digits

    def of(model, X, y, **more):
        model.fit(X, y, **more)
        return [*np.ravel(model.intercept_).tolist(), *np.ravel(model.coef_).tolist()]

    ships = {k: v[em.datasets.ships()["service"] > 0] for k, v in em.datasets.ships().items()}
    columns = pd.get_dummies(pd.DataFrame({k: ships[k].astype(str) for k in ("type", "year", "period")}), drop_first=True, dtype=float)
    rate, weight = ships["incidents"] / ships["service"], ships["service"]
    poisson = PoissonRegressor(alpha=0.01, **exact).fit(columns, rate, sample_weight=weight)
    breaks = em.datasets.warpbreaks()
    classes = LogisticRegression(C=np.inf, solver="newton-cg", **rest).fit(breaks["breaks"][:, None], breaks["tension"])
    clotting = em.datasets.clotting()
    return {
        "logistic": {
            "default_C": of(LogisticRegression(**exact), X, y),
            "infinite_C": of(LogisticRegression(C=np.inf, **exact), X, y),
            "infinite_C_default_tol": of(LogisticRegression(C=np.inf), X, y),
        },
        "poisson": {
            "alpha_0": of(PoissonRegressor(alpha=0, **exact), columns, rate, sample_weight=weight),
            "alpha_0.01": [float(poisson.intercept_), *poisson.coef_.tolist()],
            "d2_alpha_0": float(PoissonRegressor(alpha=0, **exact).fit(columns, rate, sample_weight=weight).score(columns, rate, sample_weight=weight)),
        },
        "ridge": of(Ridge(alpha=1.0), np.log(clotting["u"])[:, None], clotting["lot1"]),
        "softmax": {"intercept": numbers(classes.intercept_), "coef": numbers(classes.coef_)},
    }


def from_glum():
    ships = {k: v[em.datasets.ships()["service"] > 0] for k, v in em.datasets.ships().items()}
    X = pd.DataFrame({k: pd.Categorical(ships[k]) for k in ("type", "year", "period")})
    y, offset = ships["incidents"], np.log(ships["service"])
    own = dict(family="poisson", gradient_tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # tabmat copies an array that is not contiguous
        fit = GeneralizedLinearRegressor(drop_first=True, **own).fit(X, y, offset=offset)
        loose = GeneralizedLinearRegressor(drop_first=True, family="poisson").fit(X, y, offset=offset)
        ridge = GeneralizedLinearRegressor(drop_first=True, alpha=0.01, **own).fit(X, y, offset=offset)
        errors = {
            "default": fit.std_errors(X, y, offset=offset),
            "not_robust": fit.std_errors(X, y, offset=offset, robust=False),
            "clusters": fit.std_errors(X, y, offset=offset, clusters=np.unique(ships["type"], return_inverse=True)[1]),
        }
        clotting = em.datasets.clotting()
        log_u = np.log(clotting["u"])[:, None]
        gamma = GeneralizedLinearRegressor(family="gamma", gradient_tol=1e-12).fit(log_u, clotting["lot1"])
        gamma_errors = {str(robust): numbers(gamma.std_errors(log_u, clotting["lot1"], robust=robust)) for robust in (True, False)}

    def of(model):
        return [float(model.intercept_), *numbers(model.coef_)]

    return {
        "ships": {"coef": of(fit), "coef_default_tol": of(loose), "ridge_alpha_0.01": of(ridge), **{f"stderror_{k}": numbers(v) for k, v in errors.items()}},
        "gamma": {"coef": of(gamma), "stderror_robust": gamma_errors["True"], "stderror_not_robust": gamma_errors["False"]},
    }


def main():
    r = from_r()
    peers = {name: version(name) for name in ("statsmodels", "scikit-learn", "glum")}
    found = {
        "versions": {**r.pop("versions"), **peers},
        "r": r,
        "statsmodels": from_statsmodels(),
        "scikit-learn": from_scikit_learn(),
        "glum": from_glum(),
    }
    (HERE / "coming_from.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
