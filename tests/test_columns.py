"""Designs with many rows of each column, by the conditions of a minimum: columns held as floats, models lent among folds, single fits from a sample.

The thresholds are lowered, so that small data go where only large ones would.
"""

import numpy as np
import pytest

import etamu as em
import etamu.one_alpha as alone
import etamu.penalised as regimes
import etamu.solvers.abreast as abreast
import etamu.solvers.column_model as column_model
import etamu.sources.access as access
import etamu.validation as validation

N, P = 3001, 12
FAMILIES = {"gaussian": None, "binomial": None, "poisson": None, "gamma": "log"}
KINDS = ["plain", "duplicated", "sums", "rare", "correlated", "constant", "units"]
EACH = {
    "lasso": {},
    "net": {"l1_ratio": 0.5},
    "weights": {"weight": True},
    "zero weights": {"weight": True, "zeros": True},
    "offset": {"offset": True},
    "no intercept": {"intercept": False},
    "penalty weights": {"factor": True},
    "free": {"factor": True, "free": True, "l1_ratio": 0.7},
    "bounds": {"bounds": True},
    "everything": {"l1_ratio": 0.8, "weight": True, "zeros": True, "offset": True, "factor": True, "bounds": True},
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """As if the data were large: columns one by one, held as floats, by a sample of the rows where one alpha is asked for."""
    for name, value in {"_STORED": 2, "_ONE_PASS": 0}.items():
        monkeypatch.setattr(regimes, name, value)
    monkeypatch.setattr(alone, "_MANY", 0)
    monkeypatch.setattr(access, "_MANY", 0)
    monkeypatch.setattr(abreast, "_LEFT", 1e-14)


def columns(rng, n, p, kind):
    X = rng.standard_normal((n, p))
    if kind == "duplicated":
        X[:, 1], X[:, 4] = X[:, 0], X[:, 3]
    elif kind == "sums":
        X[:, 2], X[:, 5] = X[:, 0] + X[:, 1], X[:, 3] - X[:, 4]
    elif kind == "rare":
        X = (rng.random((n, p)) < np.resize([0.5, 0.05, 0.005], p)) * 1.0
    elif kind == "correlated":
        X = 0.2 * X + rng.standard_normal((n, 2)) @ rng.standard_normal((2, p))
    elif kind == "constant":
        X[:, 0], X[:, 1] = 0.0, 1e3 + 1e-3 * X[:, 1]
    elif kind == "units":
        X = X * np.resize([1e-3, 1.0, 1e3], p) + np.resize([0.0, 5.0, -100.0], p)
    return X


def response(rng, X, family):
    spread = X.std(0)
    spread[spread == 0] = 1.0
    eta = 0.2 + ((X - X.mean(0)) / spread) @ (np.where(np.arange(X.shape[1]) % 3 == 0, 0.5, 0.1) * np.resize([1, -1, 1, 1], X.shape[1])) / 2
    n, mu = len(X), np.exp(np.clip(eta, -6, 5))
    if family == "gaussian":
        return eta + rng.standard_normal(n)
    if family == "binomial":
        return (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0
    return rng.poisson(mu) * 1.0 if family == "poisson" else mu * rng.gamma(2, size=n) / 2 + 1e-9


class Case:
    """Data, the arguments of a fit of them, and the conditions of a minimum."""

    def __init__(
        self, family="gaussian", kind="plain", *, n=N, p=P, l1_ratio=1.0, weight=False, zeros=False, offset=False, intercept=True,
        factor=False, free=False, bounds=False, seed=0,
    ):  # fmt: skip
        rng = np.random.default_rng(seed)
        self.family, self.l1_ratio, self.intercept = family, l1_ratio, intercept
        self.X = columns(rng, n, p, kind)
        self.y = response(rng, self.X, family)
        self.weight = rng.uniform(0.2, 3, n) * (rng.random(n) < 0.7 if zeros else 1) if weight else np.ones(n)
        self.offset = 0.3 * rng.standard_normal(n) if offset else np.zeros(n)
        self.factor = rng.uniform(0.4, 2, p) if factor else np.ones(p)
        if free:
            self.factor[[6, 9]] = 0.0
        self.low, self.high = np.full(p, -np.inf), np.full(p, np.inf)
        if bounds:
            self.low[::2], self.high[::3] = 0.0, 0.05

    def arguments(self, rows=slice(None)):
        bounded = np.isfinite([self.low, self.high]).any()
        free = [np.inf] * self.intercept
        return {
            "X": self.X[rows], "y": self.y[rows], "family": self.family, "link": FAMILIES[self.family], "weights": self.weight[rows],
            "offset": self.offset[rows], "intercept": self.intercept,
            "constraints": em.Box(lower=np.r_[[-f for f in free], self.low], upper=np.r_[free, self.high]) if bounded else None,
        }  # fmt: skip

    def penalty(self, alpha=1.0):
        return em.ElasticNet(alpha, self.l1_ratio, weights=self.factor)

    def excess(self, intercept, b, alpha, rows=slice(None)):
        """About how far the objective is above its minimum, as a share of it: by the slopes left and the curvature, in NumPy from the data alone."""
        X, y, w = self.X[rows], self.y[rows], self.weight[rows] / self.weight[rows].sum()
        eta = intercept + X @ b + self.offset[rows]
        if self.family == "gaussian":
            residual, h, loss = y - eta, np.ones(len(y)), 0.5 * (y - eta) ** 2
        elif self.family == "binomial":
            mu = 1 / (1 + np.exp(-eta))
            residual, h, loss = y - mu, mu * (1 - mu), np.logaddexp(0, eta) - y * eta
        elif self.family == "poisson":
            mu = np.exp(eta)
            residual, h, loss = y - mu, mu, mu - y * eta + np.where(y > 0, y * np.log(np.maximum(y, 1)) - y, 0)
        else:
            ratio = y / np.exp(eta)
            residual, h, loss = ratio - 1, ratio, ratio - 1 - np.log(ratio)
        slope, start = -X.T @ (w * residual), -(w @ residual)
        l1, l2 = alpha * self.l1_ratio * self.factor, alpha * (1 - self.l1_ratio) * self.factor
        slope = slope + l2 * b
        up, down = np.where(b >= 0, slope + l1, slope - l1), np.where(b > 0, slope + l1, slope - l1)
        left = np.where(b < self.high - 1e-9, np.maximum(-up, 0), 0) + np.where(b > self.low + 1e-9, np.maximum(down, 0), 0)
        inside = ((b != 0) | (l1 == 0)) & (b > self.low + 1e-9) & (b < self.high - 1e-9)
        design, rest = X[:, inside], left[inside]
        rest = np.where(inside, slope + l1 * np.sign(b), 0)[inside]
        extra = l2[inside]
        if self.intercept:
            design, rest, extra = np.column_stack([np.ones(len(y)), design]), np.r_[start, rest], np.r_[0.0, extra]
        above = 0.0
        if design.shape[1]:
            hessian = (design.T * (w * h)) @ design + np.diag(extra)
            length = np.sqrt(np.maximum(np.diag(hessian), 1e-300))
            values, vectors = np.linalg.eigh(hessian / np.outer(length, length))
            along = (vectors.T @ (rest / length))[values > 1e-8]
            above = 0.5 * (along**2 / values[values > 1e-8]).sum()
        out = ~inside & (left > 0)
        above += 0.5 * (left[out] ** 2 / np.maximum((X[:, out] ** 2).T @ (w * h) + l2[out], 1e-300)).sum()
        return above / (w @ loss + (l1 * np.abs(b)).sum() + 0.5 * (l2 * b * b).sum())

    def check(self, alphas, intercepts, coefs, rows=slice(None)):
        for alpha, a, b in zip(alphas, intercepts, coefs):
            assert np.isfinite(b).all()
            assert (b >= self.low - 1e-12).all()
            assert (b <= self.high + 1e-12).all()
            assert self.excess(a, b, alpha, rows) < 1e-10, alpha


def validated(case, monkeypatch, fold, **more):
    """A cross-validation, and the coefficients of each fold."""
    found, judged = [], validation._judged

    def watch(problem, folds, betas, judge):
        found.extend(betas)
        return judged(problem, folds, betas, judge)

    monkeypatch.setattr(validation, "_judged", watch)
    cv = em.cross_validate(**case.arguments(), penalty=case.penalty(), folds=fold, **more)
    monkeypatch.setattr(validation, "_judged", judged)
    return cv, found


def check_folds(case, cv, betas, fold):
    case.check(cv.alphas, cv.path.intercepts, cv.path.coefs)
    for k, beta in enumerate(betas):
        own = beta if case.intercept else np.column_stack([np.zeros(len(beta)), beta])
        case.check(cv.alphas, own[:, 0], own[:, 1:], fold != k)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_paths_and_folds_of_every_kind_of_column(family, kind, monkeypatch):
    case, fold = Case(family, kind), np.arange(N) % 3
    cv, betas = validated(case, monkeypatch, fold, n_alphas=8, alpha_min_ratio=1e-3)
    assert cv.path.solver == "columnwise"
    check_folds(case, cv, betas, fold)
    path = em.glm_path(**case.arguments(), penalty=case.penalty(), alphas=cv.alphas)
    case.check(path.alphas, path.intercepts, path.coefs)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", EACH)
def test_paths_and_folds_of_every_kind_of_problem(family, name, monkeypatch):
    case, fold = Case(family, **EACH[name]), np.arange(N) % 3
    cv, betas = validated(case, monkeypatch, fold, n_alphas=8, alpha_min_ratio=1e-3)
    check_folds(case, cv, betas, fold)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [n for n in EACH if "bounds" not in EACH[n]])
@pytest.mark.parametrize("alpha", [0.1, 0.003])
def test_one_alpha_from_a_sample(family, name, alpha):
    case = Case(family, **EACH[name])
    fit = em.fit(**case.arguments(), penalty=case.penalty(alpha))
    at = int(case.intercept)
    case.check([alpha], [fit.coef[0] if at else 0.0], [fit.coef[at:]])
    assert fit.converged


@pytest.fixture
def parts(monkeypatch):
    """Models of one alpha are made by every second run of rows; of which parts each was, as a list."""
    for module, name, value in ((abreast, "_PER_COLUMN", 1), (abreast, "_WORTH", 1), (abreast, "_PART", 2), (column_model, "_RUN", 128)):
        monkeypatch.setattr(module, name, value)
    found, renew = [], column_model.ColumnModel.renew

    def renewed(self, *given):
        renew(self, *given)
        found.append(self.part)

    monkeypatch.setattr(column_model.ColumnModel, "renew", renewed)
    return found


@pytest.mark.parametrize("family", ["binomial", "poisson", "gamma"])
@pytest.mark.parametrize("name", [n for n in EACH if "bounds" not in EACH[n]])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "constant"])
def test_one_alpha_by_a_part_of_the_rows(family, name, kind, parts):
    case = Case(family, kind, **EACH[name])
    fit = em.fit(**case.arguments(), penalty=case.penalty(0.003))
    at = int(case.intercept)
    case.check([0.003], [fit.coef[0] if at else 0.0], [fit.coef[at:]])
    assert fit.converged
    assert 2 in parts or kind not in ("plain", "correlated") or name == "zero weights"  # of the others a part lacks something, or floats do not suffice


MISLEADING = {
    "absent": lambda X, own: X * ~own[:, None],
    "nowhere else": lambda X, own: X * own[:, None],
    "the same": lambda X, own: np.where(own[:, None], X[:, [0]], X),
    "nearly the same": lambda X, own: np.where(own[:, None], X[:, [0]] + 1e-3 * X, X),
    "small": lambda X, own: X * np.where(own, 0.02, 1.0)[:, None],
    "large": lambda X, own: X * np.where(own, 50.0, 1.0)[:, None],
    "rows without weight": None,
    "rows of little weight": None,
}


@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize("what", MISLEADING)
def test_a_part_of_the_rows_that_misleads(family, what, parts):
    """Whatever the part says of some columns, the solution is that of all rows."""
    case, own = Case(family, weight="weight" in what), np.arange(N) // 128 % 2 == 0
    if MISLEADING[what] is None:
        case.weight[own] *= 0.0 if what == "rows without weight" else 1e-3
    else:
        case.X[:, :6] = MISLEADING[what](case.X[:, :6], own)
        case.y = response(np.random.default_rng(1), np.clip(case.X, -3, 3), family)
    fit = em.fit(**case.arguments(), penalty=case.penalty(0.003))
    case.check([0.003], [fit.coef[0]], [fit.coef[1:]])
    assert fit.converged
    assert 1 in parts


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_one_alpha_of_too_few_rows_for_a_sample(seed, family, monkeypatch):
    """Products of floats have an end of their own, below which nothing is asked for: a fit that is at its solution says so."""
    monkeypatch.setattr(alone, "_SAMPLE_ROWS", 10**6)
    monkeypatch.setattr(abreast, "_LEFT", 1e-11)
    case = Case(family, "correlated", n=900, p=40, l1_ratio=(1.0, 0.5)[seed % 2], seed=seed)
    alpha = (1e-3, 1e-4, 1e-5)[seed % 3]
    fit = em.fit(**case.arguments(), penalty=case.penalty(alpha))
    assert fit.converged
    case.check([alpha], [fit.coef[0]], [fit.coef[1:]])


@pytest.mark.parametrize("type_", ["float32", "int8", "bool", "C", "strided"])
def test_any_array(type_):
    case = Case("poisson", "rare" if type_ in ("int8", "bool") else "plain")
    other = Case("poisson", "rare" if type_ in ("int8", "bool") else "plain")
    if type_ == "strided":
        wide = np.zeros((N, 2 * P))
        wide[:, ::2] = case.X
        other.X = wide[:, ::2]
    else:
        other.X = np.ascontiguousarray(case.X) if type_ == "C" else case.X.astype(type_)
        case.X = other.X.astype(float)
    fit = em.fit(**other.arguments(), penalty=case.penalty(0.01))
    case.check([0.01], [fit.coef[0]], [fit.coef[1:]])
    path = em.glm_path(**other.arguments(), penalty=case.penalty(), alphas=[0.1, 0.01])
    np.testing.assert_allclose(path.coefs[1], fit.coef[1:], atol=1e-6)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_a_column_whose_numbers_are_mostly_in_one_fold(family, monkeypatch):
    """A model that all rows have made is no use to the fold that lacks those: steps along it would be far too short, and seem to have arrived."""
    case, fold = Case(family), np.arange(N) * 4 // N
    for k in range(4):
        others = np.flatnonzero(fold != k)
        case.X[:, k] *= np.where(fold == k, 30.0, 0.0)
        case.X[others[::5], k] = np.where(np.arange(len(others[::5])) % 2, 1.0, -1.0)
    case.y = response(np.random.default_rng(1), np.clip(case.X, -3, 3), family)
    cv, betas = validated(case, monkeypatch, fold, n_alphas=12, alpha_min_ratio=1e-4)
    check_folds(case, cv, betas, fold)


@pytest.mark.parametrize("columns_", ["dense", "sparse", "few rows"])
def test_a_column_that_is_empty_without_a_fold(columns_, monkeypatch):
    """The path of all rows, which the folds follow, moves a coefficient that the penalty alone decides there."""
    from scipy.sparse import csr_array

    case, fold = Case("poisson", "rare", intercept=columns_ == "sparse"), np.arange(N) * 3 // N
    case.X[:, 2] = (fold == 1) * (np.arange(N) % 20 == 0)
    case.y = np.random.default_rng(3).poisson(np.exp(0.2 + 1.5 * case.X[:, 2])) * 1.0
    if columns_ == "few rows":
        monkeypatch.setattr(access, "_MANY", 10**9)
    if columns_ == "sparse":
        monkeypatch.setattr(regimes, "_COLUMNWISE", 0)
        monkeypatch.setattr(case, "arguments", lambda own=case.arguments: own() | {"X": csr_array(case.X)})
    cv, betas = validated(case, monkeypatch, fold, n_alphas=8, alpha_min_ratio=1e-2)
    assert cv.path.coefs[-1, 2] > 0
    assert (betas[1][:, 2 + case.intercept] == 0).all()
    check_folds(case, cv, betas, fold)


def test_folds_are_the_same_from_run_to_run():
    case = Case("binomial", "correlated")
    found = [em.cross_validate(**case.arguments(), penalty=case.penalty(), n_alphas=20, folds=5).fold_metric for _ in range(4)]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-9)


@pytest.mark.parametrize("call", ["fit", "path", "folds"])
def test_nothing_in_the_model(call):
    """Without an intercept, at an alpha so large that no coefficient is other than 0."""
    case = Case("poisson", intercept=False)
    if call == "fit":
        assert (em.fit(**case.arguments(), penalty=case.penalty(1e3)).coef == 0).all()
    elif call == "path":
        path = em.glm_path(**case.arguments(), penalty=case.penalty(), n_alphas=3)
        assert (path.coefs[0] == 0).all()
        assert path.coefs[2].any()
        assert em.glm_path(**case.arguments(), penalty=case.penalty(), alphas=[1e3, 1e2]).converged.all()
    else:
        assert (em.cross_validate(**case.arguments(), penalty=case.penalty(), alphas=[1e3], folds=3).path.coefs == 0).all()


@pytest.mark.parametrize("where", ["sparse", "one stretch"])
def test_a_sample_that_misses_the_rows_that_count(where):
    case = Case("poisson")
    case.weight = np.zeros(N)
    case.weight[slice(100, 400) if where == "one stretch" else slice(None, None, 10)] = 1.0
    fit = em.fit(**case.arguments(), penalty=case.penalty(0.02))
    assert fit.converged
    case.check([0.02], [fit.coef[0]], [fit.coef[1:]])


@pytest.mark.parametrize("design", ["few numbers", "factor", "sparse"])
def test_samples_are_of_designs_held_as_floats_alone(design, monkeypatch):
    """Others take their columns one by one, and begin at no sample's solution."""
    from scipy.sparse import csr_array

    case = Case("poisson")
    penalty = case.penalty(0.02)
    if design == "few numbers":
        monkeypatch.setattr(access, "_MANY", 1_000_000)
        fit = em.fit(**case.arguments(), penalty=penalty)
    elif design == "sparse":
        monkeypatch.setattr(regimes, "_COLUMNWISE", 0)
        fit = em.fit(**case.arguments() | {"X": csr_array(case.X)}, penalty=penalty)
    else:
        monkeypatch.setattr(regimes, "_COLUMNWISE", 0)
        rng = np.random.default_rng(0)
        d = {"g": rng.choice(list("abcdefgh"), N), "x": case.X[:, 0], "z": case.X[:, 3], "y": case.y}
        fit = em.glm("y ~ g + x + z", d, family="poisson", penalty=em.Lasso(0.02))
        assert fit.converged
        assert fit.penalised.residual < 1e-6
        return
    assert fit.converged
    case.check([0.02], [fit.coef[0]], [fit.coef[1:]])


@pytest.mark.parametrize("rows", [8192 + 5, 64 * 8 * 17 + 7])
def test_the_last_rows_of_many_are_in_the_model(rows):
    """A column that lives in the last few rows alone."""
    case = Case("poisson", n=rows, p=4)
    case.X[:, 3] = 0.0
    case.X[-5:, 3] = 1.0
    case.y[-5:] = [9.0, 4.0, 7.0, 6.0, 8.0]
    path = em.glm_path(**case.arguments(), penalty=case.penalty(), alphas=[1e-3, 1e-5])
    assert path.converged.all()
    assert path.coefs[1, 3] > 1
    case.check(path.alphas, path.intercepts, path.coefs)


def test_a_rare_event():
    """A sample of the rows has none of it."""
    case = Case("binomial", n=20_000)
    case.y[:] = 0.0
    case.y[[5, 1_000, 15_000]] = 1.0
    for alpha in (1e-5, 1e-4, 1e-2):
        fit = em.fit(**case.arguments(), penalty=case.penalty(alpha))
        assert fit.converged
        case.check([alpha], [fit.coef[0]], [fit.coef[1:]])


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize("kind", ["plain", "duplicated"])
def test_more_coefficients_than_rows(family, kind):
    """A path down to where the fit is nearly perfect, with an inverse that coordinates enter and leave."""
    case = Case(family, kind, n=60, p=150, l1_ratio=0.9)
    path = em.glm_path(**case.arguments(), penalty=case.penalty(), n_alphas=15, alpha_min_ratio=1e-2)
    assert path.converged.all()
    case.check(path.alphas, path.intercepts, path.coefs)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize("apart", [1e-3, 1e-4, 1e-5])
def test_columns_that_floats_cannot_tell_apart(family, apart, narrow):
    """Twins trade their coefficients at next to no cost: the objective still falls to its least, which a longer float could not say."""
    rng = np.random.default_rng(1)
    n, p = 4000, 16
    X = rng.standard_normal((n, p))
    X[:, p // 2 :] = X[:, : p // 2] + apart * rng.standard_normal((n, p // 2))
    eta = 0.3 * X[:, :3].sum(axis=1)
    y = {"gaussian": eta + rng.standard_normal(n), "binomial": (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0, "poisson": rng.poisson(np.exp(eta)) * 1.0}
    y = y[family]
    path = em.glm_path(X=X, y=y, family=family, n_alphas=10, alpha_min_ratio=1e-4)

    def objective(b, constant, alpha):
        eta = X @ b + constant
        loss = {"gaussian": (y - eta) ** 2 / 2, "binomial": np.logaddexp(0, np.where(y > 0.5, -eta, eta)), "poisson": np.exp(eta) - y * eta}[family]
        return loss.mean() + alpha * np.abs(b).sum()

    assert path.converged.all()
    for alpha, b, constant in zip(path.alphas, path.coefs, path.intercepts):
        now = objective(b, constant, alpha)
        for j in range(p // 2):  # give all to either twin, or some
            for share in (0.0, 0.5, 1.0):
                other, whole = b.copy(), b[j] + b[j + p // 2]
                other[j], other[j + p // 2] = share * whole, (1 - share) * whole
                assert objective(other, constant, alpha) >= now - 1e-10 * abs(now)


# ---- once wrong ---------------------------------------------------------------------------------------------------------


def test_a_large_intercept_of_a_tall_design_is_that_of_its_rows():
    """What moves add to the predictors must be what they add to the coefficients, however large these are beside the noise."""
    rng = np.random.default_rng(0)
    n, p = 20_000, 60
    X = rng.normal(size=(n, p)).astype(np.float32).astype(float)
    y = np.exp(14 + 0.02 * X[:, 0] - 0.01 * X[:, 1]) + rng.normal(size=n)
    path = em.glm_path(X=X, y=y, family="gaussian", link="log", alphas=[3e6, 1e6, 3e5])
    for coef, intercept, deviance in zip(path.coefs, path.intercepts, path.deviance, strict=True):
        mu = np.exp(intercept + X @ coef)
        np.testing.assert_allclose(deviance, ((y - mu) ** 2).sum(), rtol=1e-8)
        assert abs(((y - mu) * mu).sum()) < 1e-9 * (y * mu).sum()  # the score of the intercept, which has no penalty


@pytest.mark.parametrize("noise", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("call", ["path", "fit"])
def test_a_deviance_that_rounding_of_the_columns_would_hide(noise, call):
    """The better a tall design explains the response, the more digits of its columns are seen: where they would not do, floats turn to doubles."""
    rng = np.random.default_rng(4)
    n, p = 6000, 30
    X = rng.normal(size=(n, p)) + 3
    y = 2 + X[:, :10] @ rng.normal(size=10) + noise * rng.normal(size=n)
    alpha = 1e-3 * noise
    if call == "path":
        path = em.glm_path(X=X, y=y, alphas=[10 * alpha, alpha])
        found = zip(path.intercepts, path.coefs, path.deviance)
    else:
        fit = em.fit(X, y, penalty=em.Lasso(alpha))
        found = [(fit.coef[0], fit.coef[1:], fit.deviance)]
    for intercept, coef, deviance in found:
        np.testing.assert_allclose(deviance, ((y - intercept - X @ coef) ** 2).sum(), rtol=1e-6)
        residual = y - intercept - X @ coef
        assert abs(residual.mean()) < 1e-5 * noise


def test_a_tall_design_whose_free_columns_are_nearly_dependent():
    """The sample's model is of doubles, and all rows' turns to them on the way: no model is left without its row weights."""
    rng = np.random.default_rng(0)
    n, p = 60_000, 150
    X = rng.normal(size=(n, p))
    X[:, 2] = (X[:, 0] + X[:, 1]) / np.sqrt(2) + 1e-3 * rng.normal(size=n)
    y = (X[:, 0] + 0.5 * X[:, 3] + rng.logistic(size=n) > 0).astype(float)
    weights = np.r_[np.zeros(3), np.ones(p - 3)]
    fit = em.fit(X, y, family="binomial", penalty=em.Lasso(0.02, weights=weights))
    assert fit.converged
    score = X.T @ (y - 1 / (1 + np.exp(-(fit.coef[0] + X @ fit.coef[1:])))) / n
    assert np.abs(score[:3]).max() < 1.5e-7  # of an objective within 1e-13 of its least
    assert np.abs(score[3:]).max() < 0.02 + 1.5e-7


@pytest.mark.parametrize(("seed", "family"), [(74, "poisson"), (318, "gamma"), (320, "gamma")])
def test_a_step_that_is_tried_again_keeps_all_of_its_move(seed, family, monkeypatch):
    """Between two tries the model may become one of fewer columns: what it has dropped moved the coefficients, but not the predictors."""
    rng = np.random.default_rng(seed)
    n, p = 4000, 60
    rho = rng.choice([0.3, 0.6, 0.9])
    X = np.sqrt(1 - rho) * rng.standard_normal((n, p)) + np.sqrt(rho) * rng.standard_normal((n, 4)) @ rng.standard_normal((4, p)) / 2
    eta = X @ (rng.standard_normal(p) * (rng.random(p) < 0.4))
    eta = eta / eta.std() * rng.choice([0.5, 1.0, 1.5, 2])
    assert rng.choice(["poisson", "gamma", "binomial"]) == family
    y = rng.poisson(np.exp(np.clip(eta, -8, 8))) * 1.0 if family == "poisson" else np.exp(eta) * rng.gamma(1, size=n) + 1e-9
    count, ratio = int(rng.choice([5, 8, 15])), 10.0 ** -rng.integers(3, 6)
    found, judge = [], abreast.Abreast._judge

    def judged(self, site, trial, place):
        judge(self, site, trial, place)
        problem, at = self.access.problem, site.place
        predictors = problem.design.block(slice(0, n)) @ at.b
        found.append(np.abs(at.rows.eta[:n] - predictors).max())

    monkeypatch.setattr(abreast.Abreast, "_judge", judged)
    link = None if family == "poisson" else "log"
    em.cross_validate(X=X, y=y, family=family, link=link, n_alphas=count, alpha_min_ratio=ratio, folds=4)
    assert len(found) > 100
    assert max(found) < 1e-6


@pytest.mark.parametrize("lower", [0.02, 0.1])
@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize("solver", ["gramwise", "columnwise", "abreast"])
def test_bounds_that_exclude_zero(solver, family, lower, monkeypatch):
    """Searches began at 0, outside the bounds: some ended there, and two under way could take the model from each other for ever."""
    case = Case(family)
    case.low[:] = lower
    if solver == "gramwise":
        monkeypatch.setattr(regimes, "_STORED", 100)
    if solver == "columnwise":
        monkeypatch.setattr(access, "_MANY", 1e18)
    path = em.glm_path(**case.arguments(), penalty=case.penalty(), n_alphas=8, alpha_min_ratio=1e-3)
    assert path.solver == ("gramwise" if solver == "gramwise" else "columnwise")
    assert path.converged.all()
    case.check(path.alphas, path.intercepts, path.coefs)
    cv = em.cross_validate(**case.arguments(), penalty=case.penalty(), alphas=path.alphas, folds=3)
    assert cv.path.converged.all()


@pytest.mark.parametrize("held", ["floats", "doubles"])
@pytest.mark.parametrize("link", ["inverse", "identity"])
def test_a_path_that_cannot_begin_at_zero(link, held, monkeypatch):
    """Where 0 has no mean a path began nowhere, and called that converged; it begins at the constant's fit."""
    rng = np.random.default_rng(3)
    X = rng.uniform(0, 1, (N, P))
    mean = 1 + X @ np.resize([0.4, 0.0, 0.2], P)
    y = (mean if link == "identity" else 1 / mean) * rng.gamma(20, size=N) / 20
    if held == "doubles":
        monkeypatch.setattr(access, "_MANY", 1e18)
    path = em.glm_path(X=X, y=y, family="gamma", link=link, n_alphas=8, alpha_min_ratio=1e-2)
    monkeypatch.setattr(regimes, "_STORED", 100)
    other = em.glm_path(X=X, y=y, family="gamma", link=link, alphas=path.alphas)
    assert (path.solver, other.solver) == ("columnwise", "gramwise")
    assert path.converged.all()
    np.testing.assert_allclose(path.coefs, other.coefs, atol=1e-5)
    assert np.isfinite(path.deviance).all()
