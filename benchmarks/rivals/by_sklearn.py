"""scikit-learn: lasso_path on centred columns, LassoCV, and saga for one logistic fit."""

from __future__ import annotations

import numpy as np
from common import Found, Solve, Task, serve
from scipy import sparse
from sklearn.linear_model import LassoCV, LogisticRegression, lasso_path


def build(task: Task, tight: bool) -> Solve:
    def path() -> Found:
        tol = {"tol": 1e-12, "max_iter": 100_000} if tight else {}
        mean, level = np.asarray(task.X.mean(axis=0)).ravel(), task.y.mean()
        if sparse.issparse(task.X):
            _, coefs, _ = lasso_path(task.X, task.y - level, alphas=task.alphas, X_offset=mean, X_scale=np.ones_like(mean), **tol)
        else:
            _, coefs, _ = lasso_path(np.asfortranarray(task.X - mean), task.y - level, alphas=task.alphas, **tol)
        return coefs.T, level - mean @ coefs, None

    def logistic() -> Found:
        tol = {"tol": 1e-8, "max_iter": 100_000} if tight else {"max_iter": 1000}
        model = LogisticRegression(C=1 / (len(task.y) * task.alphas[0]), l1_ratio=1.0, solver="saga", random_state=0, **tol).fit(X, task.y)
        return model.coef_, model.intercept_, None

    def cv() -> Found:
        found = LassoCV(alphas=task.alphas, cv=task.splits(), n_jobs=task.threads, **({"tol": 1e-12} if tight else {})).fit(task.X, task.y)
        return None, None, found.mse_path_.mean(axis=1)

    X = np.ascontiguousarray(task.X) if task.binary and not sparse.issparse(task.X) else task.X  # as saga wants it
    return cv if task.kind == "cv" else logistic if task.binary else path


if __name__ == "__main__":
    serve(build)
