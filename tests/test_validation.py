"""Cross-validation: folds, what they share, what is judged, and the rules that choose."""

import numpy as np
import pytest

import etamu as em
import etamu.penalised as regimes
from etamu import validation


def data(n=240, p=8, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    eta = X @ np.where(np.arange(p) < 3, 0.7, 0.0)
    return X, eta + rng.standard_normal(n), (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("regime", [0, 10**9])
def test_folds_are_fits_of_the_other_rows(family, regime, monkeypatch):
    """Whatever is shared between folds, each is the path of its own training rows."""
    monkeypatch.setattr(regimes, "_COLUMNWISE", regime)
    monkeypatch.setattr(regimes, "_ONE_PASS", 0)
    X, y, z = data()
    y = y if family == "gaussian" else z
    fold = em.folds(len(y), 4, seed=3)
    cv = em.cross_validate(X=X, y=y, family=family, folds=fold, n_alphas=15, l1_ratio=0.9)
    for k in range(4):
        path = em.glm_path(X=X[fold != k], y=y[fold != k], family=family, alphas=cv.alphas, l1_ratio=0.9)
        eta = path.intercepts[:, None] + path.coefs @ X[fold == k].T
        held = y[fold == k]
        loss = (held - eta) ** 2 if family == "gaussian" else -2 * (held * eta - np.logaddexp(0, eta))
        np.testing.assert_allclose(cv.fold_metric[k], loss.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(cv.mean_deviance, cv.fold_weight @ cv.fold_metric / len(y))


def test_rules():
    X, y, _ = data()
    cv = em.cross_validate(X=X, y=y, n_alphas=40)
    assert cv.mean_deviance[cv.best_index] == cv.mean_deviance.min()
    assert cv.one_se_alpha >= cv.best_alpha
    best, sparse = cv.fit(), cv.fit("1se")
    assert best.penalised.penalty.alpha == cv.best_alpha
    assert sparse.edf <= best.edf
    assert cv.table()["alpha"][0] == cv.alphas[0]


def test_files_give_the_same(tmp_path):
    """Folds of a file, whose passes are in common, are those of the rows in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from etamu.sources.shared import fold_of

    rng = np.random.default_rng(0)
    n = 450_000  # more than are held in memory
    d = {"x": rng.standard_normal(n), "g": rng.choice(list("abc"), n)}
    d["y"] = rng.poisson(np.exp(-1 + 0.2 * d["x"]))
    pq.write_table(pa.table(d), tmp_path / "a.parquet", row_group_size=100_000)
    more = {"family": "poisson", "alphas": [0.1, 0.01, 0.001]}
    cv = em.cross_validate("y ~ x + g", str(tmp_path / "a.parquet"), folds=3, seed=5, **more)
    same = em.cross_validate("y ~ x + g", d, folds=fold_of(0, n, 3, 5), **more)
    np.testing.assert_allclose(cv.fold_metric, same.fold_metric, rtol=1e-9)
    np.testing.assert_allclose(cv.path.coefs, same.path.coefs, atol=1e-9)


def test_kinds_of_folds():
    assert sorted(np.bincount(em.folds(10, 3))) == [3, 3, 4]
    labels = np.repeat(["a", "b", "c"], [50, 9, 6])
    fold = em.folds(65, 3, stratify=labels)
    assert all(2 <= (fold[labels == "c"] == k).sum() <= 2 for k in range(3))
    groups = np.random.default_rng(0).integers(0, 12, 300)
    fold = em.folds(300, 4, groups=groups)
    assert all(len(set(fold[groups == g])) == 1 for g in range(12))
    time = np.random.default_rng(1).permutation(60)
    fold = np.asarray(em.folds(60, 5, time=time))
    assert [int(time[fold == k].min()) for k in range(5)] == [10, 20, 30, 40, 50]
    assert (fold == -1).sum() == 10


def test_time_only_looks_back():
    """A fold in time is predicted from the rows before it."""
    X, y, _ = data(120)
    fold = em.folds(120, 3, time=np.arange(120))
    cv = em.cross_validate(X=X, y=y, folds=fold, alphas=[0.05])
    past, held = np.asarray(fold) < 1, np.asarray(fold) == 1
    path = em.glm_path(X=X[past], y=y[past], alphas=[0.05])
    np.testing.assert_allclose(cv.fold_metric[1, 0], ((y[held] - path.intercepts[0] - X[held] @ path.coefs[0]) ** 2).mean(), rtol=1e-7)


def test_metrics():
    X, y, z = data()
    for metric in ("deviance", "mse", "mae", "misclassification", "auc"):
        cv = em.cross_validate(X=X, y=z, family="binomial", metric=metric, n_alphas=10)
        assert np.isfinite(cv.mean).all()
    own = em.cross_validate(X=X, y=y, metric=lambda y, mu, w: float(np.abs(y - mu).max()), n_alphas=5)
    assert own.mean.shape == (5,)
    with pytest.raises(em.errors.SpecificationError, match=r"read `\.mean`"):
        _ = own.mean_deviance


def test_multinomial_and_factors():
    rng = np.random.default_rng(0)
    d = {"x": rng.standard_normal(300), "g": rng.choice(list("abc"), 300)}
    d["y"] = np.where(d["x"] + rng.standard_normal(300) > 0.3, "u", rng.choice(["v", "w"], 300))
    cv = em.cross_validate("y ~ x + g", d, family=em.families.Multinomial(reference=None), n_alphas=8, folds=3)
    assert cv.mean_deviance.argmin() > 0
    assert cv.path.coefs.shape == (8, 3, 3)


@pytest.mark.parametrize("penalty", [em.MCP(), em.SCAD(gamma=3.7)], ids=["MCP", "SCAD"])
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_concave_paths_are_stationary_and_their_folds_are_paths_of_the_other_rows(penalty, family):
    X, y, z = data()
    y = z if family == "binomial" else y
    cv = em.cross_validate(X=X, y=y, family=family, penalty=penalty, n_alphas=8, folds=3)
    assert cv.path.converged.all()
    fold = em.folds(len(y), 3, stratify=y if family == "binomial" else None)
    rest = em.glm_path(X=X[fold != 1], y=y[fold != 1], family=family, penalty=penalty, alphas=cv.alphas)
    eta = X[fold == 1] @ rest.coefs.T + rest.intercepts
    held = y[fold == 1][:, None]
    deviance = (held - eta) ** 2 if family == "gaussian" else 2 * np.logaddexp(0, np.where(held > 0.5, -eta, eta))
    np.testing.assert_allclose(cv.fold_metric[1], deviance.mean(axis=0), rtol=1e-6)
    for alpha, b, constant in zip(cv.path.alphas, cv.path.coefs, cv.path.intercepts):
        eta = X @ b + constant
        mu = eta if family == "gaussian" else 1 / (1 + np.exp(-eta))
        q = -X.T @ (y - mu) / len(y)
        size, g = np.abs(b), penalty.gamma
        mcp = np.maximum(alpha - size / g, 0)
        slope = mcp if isinstance(penalty, em.MCP) else np.where(size <= alpha, alpha, np.maximum(g * alpha - size, 0) / (g - 1))
        away = np.where(b != 0, np.abs(q + slope * np.sign(b)), np.maximum(np.abs(q) - alpha, 0))
        assert away.max() < 1e-5 * alpha


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_ridge_paths_have_effective_degrees_of_freedom_and_begin_where_nothing_is_left(family):
    X, y, z = data()
    y = z if family == "binomial" else y
    path = em.glm_path(X=X, y=y, family=family, l1_ratio=0, n_alphas=9)
    for k in (0, 4, 8):
        fit = em.fit(X, y, family=family, penalty=em.Ridge(alpha=path.alphas[k]))
        assert path.df[k] == pytest.approx(fit.edf, rel=1e-4)
    assert path.df[0] < 1.05
    assert path.df[-1] > 8.9
    assert path.alphas[0] > path.best("aic") > path.alphas[-1]


@pytest.mark.parametrize("folds_", [2, 5, "time", "only train", "labels"])
@pytest.mark.parametrize("kind", ["F", "C", "float32", "sparse", "formula"])
@pytest.mark.parametrize("penalty", [em.ElasticNet(1.0, 0.5), em.Ridge(), em.MCP()])
def test_folds_of_least_squares_share_the_sums_of_their_rows(folds_, kind, penalty, monkeypatch):
    rng = np.random.default_rng(5)
    X, w, o = rng.normal(size=(150, 7)), rng.choice([0.0, 1.0, 2.5], 150), rng.normal(size=150)
    y = X[:, 0] - X[:, 3] + o + rng.normal(size=150)
    fold = {
        "time": em.folds(150, 4, time=rng.normal(size=150)),
        "only train": np.where(rng.random(150) < 0.3, -1, rng.integers(0, 3, 150)),
        "labels": rng.integers(0, 4, 150),
    }.get(folds_, folds_)
    if kind == "formula":
        table = {"y": y, "f": rng.choice(list("abc"), 150), "x": X[:, 0], "z": X[:, 3]}
        given = {"formula": "y ~ f + x * z", "data": table}
    else:
        from scipy import sparse

        layout = {"F": np.asfortranarray, "C": np.ascontiguousarray, "float32": np.float32, "sparse": sparse.csr_array}[kind]
        given = {"X": layout(X), "y": y}
    more = {"weights": w, "offset": o, "folds": fold, "penalty": penalty, "n_alphas": 8}
    together = em.cross_validate(**given, **more)
    monkeypatch.setattr(validation, "_shared", lambda *_: None)
    apart = em.cross_validate(**given, **more)
    np.testing.assert_allclose(together.fold_metric, apart.fold_metric, rtol=1e-7)
    np.testing.assert_array_equal(together.fold_weight, apart.fold_weight)
    np.testing.assert_allclose(together.path.coefs, apart.path.coefs, atol=1e-8)


def test_the_degrees_of_freedom_of_a_wide_ridge_path_are_those_at_each_solution():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 80))
    y = (rng.random(400) < 1 / (1 + np.exp(-2 * X[:, 0] - X[:, 1]))).astype(float)
    path = em.glm_path(X=X, y=y, family="binomial", l1_ratio=0, alphas=[1, 0.1, 0.01])
    A = np.column_stack([np.ones(400), X])
    for alpha, coef, intercept, df in zip(path.alphas, path.coefs, path.intercepts, path.df, strict=True):
        mu = 1 / (1 + np.exp(-X @ coef - intercept))
        H = A.T @ ((mu * (1 - mu))[:, None] * A) / 400
        assert df == pytest.approx(np.trace(np.linalg.solve(H + alpha * np.diag([0.0] + [1.0] * 80), H)), rel=1e-6)


@pytest.mark.parametrize("regime", [0, 10**9])
def test_progress_is_told_of_every_alpha_of_every_fold_and_may_stop_it(regime, monkeypatch):
    monkeypatch.setattr(regimes, "_COLUMNWISE", regime)
    X, _, z = data()
    notes = []
    em.cross_validate(X=X, y=z, family="binomial", folds=3, n_alphas=6, control=em.Control(progress=lambda step: notes.append(step.note)))
    for whose in ("", *(f", without fold {k} of 3" for k in (1, 2, 3))):
        assert [n.split(":")[0] for n in notes if n.startswith("alpha") and n.split(" of 6")[1].startswith(f"{whose}:")] == [
            f"alpha {k} of 6{whose}" for k in range(1, 7)
        ]

    class StopError(Exception):
        pass

    def stop(step):
        if "alpha 3" in step.note:
            raise StopError

    with pytest.raises(StopError):
        em.glm_path(X=X, y=z, family="binomial", n_alphas=6, control=em.Control(progress=stop))
    with pytest.raises(StopError):
        em.cross_validate(X=X, y=z, family="binomial", n_alphas=6, control=em.Control(progress=stop))


BAD = {
    "one class": (lambda X, y, z: em.cross_validate(X=X, y=z, family="binomial", folds=np.where(z == 1, 0, 1)), "classes of y"),
    "folds": (lambda X, y, z: em.cross_validate(X=X, y=y, folds=1), "`k` is 1"),
    "length": (lambda X, y, z: em.cross_validate(X=X, y=y, folds=[0, 1]), "`folds` has shape"),
    "single": (lambda X, y, z: em.cross_validate(X=X, y=y, folds=np.zeros(len(y), int)), "fewer than two"),
    "metric": (lambda X, y, z: em.cross_validate(X=X, y=y, metric="foo"), "metric"),
    "auc": (lambda X, y, z: em.cross_validate(X=X, y=y, metric="auc"), "binomial"),
    "weightless": (lambda X, y, z: em.cross_validate(X=X, y=y, weights=(np.arange(240) > 79) * 1.0, folds=np.arange(240) // 80), "rows of fold 1"),
    "groups": (lambda X, y, z: em.folds(10, 3, groups=np.repeat([0, 1], 5)), "2 groups"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, words = BAD[case]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call(*data())
    assert isinstance(caught.value, em.errors.EtamuError)


@pytest.mark.parametrize(("n", "p", "alphas", "count"), [(5, 1, 1, 2), (333, 60, 13, 3), (1000, 7, 3, 4), (2049, 3, 50, 5)])
def test_held_out_rows_are_predicted_alike(n, p, alphas, count):
    """By the core in one reading, and in NumPy."""
    from etamu.design.columns import Design, Matrix

    rng = np.random.default_rng(n)
    design = Design(Matrix(rng.standard_normal((n, p)), [f"x{j}" for j in range(p)], constant=True), n)
    fold = rng.integers(-1, count, n)
    held, beta = [fold == k for k in range(count)], [rng.standard_normal((p + 1, alphas)) for _ in range(count)]
    found = validation._at_once(design, held, beta)
    if found is None:
        pytest.skip("the core was not built")
    for eta, expected in zip(found, validation._block_by_block(design, held, beta), strict=True):
        np.testing.assert_allclose(eta, expected, rtol=0, atol=1e-12)
    assert validation._at_once(design, [held[0], *held], [beta[0], *beta]) is None


@pytest.mark.parametrize("weighted", [False, True])
def test_the_order_of_rows_does_not_matter(weighted, monkeypatch):
    """Folds whose rows are brought together have the same fits as where the rows stay."""
    rng = np.random.default_rng(3)
    n, p = 12_000, 110
    X = np.asfortranarray(rng.standard_normal((n, p)))
    y = rng.poisson(np.exp(0.3 * X[:, 0] - 0.2 * X[:, 1])).astype(float)
    more = {"weights": rng.uniform(0.5, 2, n), "offset": 0.1 * rng.standard_normal(n)} if weighted else {}

    def found():
        return em.cross_validate(X=X, y=y, family="poisson", folds=rng_folds, n_alphas=12, alpha_min_ratio=0.05, **more)

    rng_folds = rng.integers(0, 4, n)
    together = found()
    assert together.path.solver == "columnwise"
    monkeypatch.setattr(validation, "_fold_by_fold", lambda problem, fold: (problem, slice(None)))
    apart = found()
    # a fit's objective is left 1e-11 above its minimum; held-out rows are not at theirs, and see the root of that
    np.testing.assert_allclose(together.fold_metric, apart.fold_metric, rtol=1e-5)
    np.testing.assert_allclose(together.path.coefs, apart.path.coefs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(together.path.deviance, apart.path.deviance, rtol=1e-6)
