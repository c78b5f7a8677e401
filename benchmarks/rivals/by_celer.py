"""celer: Lasso paths (its logistic regression has no intercept), the columns centred as its own Lasso does."""

from __future__ import annotations

from typing import Any

import numpy as np
from celer import celer_path
from common import Found, Solve, Task, deviance, serve
from scipy import sparse


def build(task: Task, tight: bool) -> Solve:
    tol = 1e-12 if tight else 1e-4  # celer's own default

    def fit(X: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, level = np.asarray(X.mean(axis=0)).ravel(), y.mean()
        centred = {"X_offset": mean, "X_scale": np.ones_like(mean)} if sparse.issparse(X) else {}
        X = X if centred else np.asfortranarray(X - mean)
        _, coefs, _ = celer_path(X, y - level, "lasso", alphas=task.alphas, tol=tol, max_iter=100, prune=True, **centred)
        return coefs.T, level - mean @ coefs

    def path() -> Found:
        return *fit(task.X, task.y), None

    def cv() -> Found:
        total = np.zeros(len(task.alphas))
        for learn, judge in task.splits():  # its LassoCV does not know the arguments of today's scikit-learn
            coefs, intercepts = fit(task.X[learn], task.y[learn])
            total += deviance(task.family, task.y[judge], task.X[judge] @ coefs.T + intercepts).sum(axis=0)
        return None, None, total / len(task.y)

    return cv if task.kind == "cv" else path


if __name__ == "__main__":
    serve(build)
