"""celer: Lasso paths (its logistic regression has no intercept), the columns centred as its own Lasso does."""

from __future__ import annotations

import numpy as np
from celer import LassoCV, celer_path
from common import Found, Solve, Task, serve
from scipy import sparse


def build(task: Task, tight: bool) -> Solve:
    tol = 1e-12 if tight else 1e-4  # celer's own default

    def path() -> Found:
        mean = np.asarray(task.X.mean(axis=0)).ravel()
        y = task.y - task.y.mean()
        if sparse.issparse(task.X):
            _, coefs, _ = celer_path(task.X, y, "lasso", alphas=task.alphas, tol=tol, max_iter=100, prune=True, X_offset=mean, X_scale=np.ones_like(mean))
        else:
            _, coefs, _ = celer_path(np.asfortranarray(task.X - mean), y, "lasso", alphas=task.alphas, tol=tol, max_iter=100, prune=True)
        return coefs.T, task.y.mean() - mean @ coefs, None

    def cv() -> Found:
        found = LassoCV(alphas=task.alphas, tol=tol, cv=task.splits()).fit(task.X, task.y)
        return None, None, found.mse_path_.mean(axis=1)

    return cv if task.kind == "cv" else path


if __name__ == "__main__":
    serve(build)
