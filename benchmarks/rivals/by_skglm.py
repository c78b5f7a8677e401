"""skglm: the solvers of its Lasso and SparseLogisticRegression, each alpha from the one before."""

from __future__ import annotations

import numpy as np
from common import Found, Solve, Task, serve
from skglm.datafits import Logistic, Quadratic
from skglm.penalties import L1
from skglm.solvers import AndersonCD, ProxNewton
from skglm.utils.jit_compilation import compiled_clone


def build(task: Task, tight: bool) -> Solve:
    tol = {"tol": 1e-10, "max_iter": 200} if tight else {}
    n, p = task.X.shape
    y = 2.0 * task.y - 1 if task.binary else np.asarray(task.y, dtype=float)
    solver = ProxNewton(fit_intercept=True, warm_start=True, **tol) if task.binary else AndersonCD(fit_intercept=True, warm_start=True, **tol)
    datafit, penalty = compiled_clone(Logistic() if task.binary else Quadratic()), compiled_clone(L1(1.0))

    def path() -> Found:
        w, eta = np.zeros(p + 1), np.zeros(n)
        coefs, intercepts = np.empty((len(task.alphas), p)), np.empty(len(task.alphas))
        for k, alpha in enumerate(task.alphas):
            penalty.alpha = alpha
            w = solver.solve(task.X, y, datafit, penalty, w, eta, run_checks=False)[0].copy()
            eta = task.X @ w[:p] + w[p]
            coefs[k], intercepts[k] = w[:p], w[p]
        return coefs, intercepts, None

    return path


if __name__ == "__main__":
    serve(build)
