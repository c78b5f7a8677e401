"""adelie: grpnet; for CV the loop of its cv_grpnet (rows held out get weight zero) with the folds that everybody gets."""

from __future__ import annotations

import adelie as ad
import numpy as np
from common import Found, Solve, Task, deviance, serve
from scipy import sparse


def build(task: Task, tight: bool) -> Solve:
    more = {"tol": 1e-14, "irls_tol": 1e-12} if tight else {}
    threads = (task.options or {}).get("threads", task.threads)
    kind = ad.glm.binomial if task.binary else ad.glm.gaussian
    if sparse.issparse(task.X):
        X = ad.matrix.sparse(task.X, method="naive", n_threads=threads)
    else:
        X = ad.matrix.dense(task.X, method="naive", n_threads=threads)
    y = np.asarray(task.y, dtype=float)

    def grpnet(weights: np.ndarray | None = None) -> tuple[sparse.csr_matrix, np.ndarray]:
        state = ad.grpnet(
            X,
            kind(y, weights=weights),
            lmda_path=task.alphas,
            alpha=task.l1_ratio,
            n_threads=threads,
            early_exit=False,
            progress_bar=False,
            **more,
        )
        return state.betas, np.asarray(state.intercepts)

    def path() -> Found:
        return *grpnet(), None

    def cv() -> Found:
        total = np.zeros(len(task.alphas))
        for learn, judge in task.splits():
            weights = np.zeros(len(y))
            weights[learn] = 1 / len(learn)
            betas, intercepts = grpnet(weights)
            total += deviance(task.family, y[judge], task.X[judge] @ betas.toarray().T + intercepts).sum(axis=0)
        return None, None, total / len(y)

    def covariance() -> Found:
        mean, level = task.X.mean(axis=0), y.mean()
        centred = task.X - mean
        A = np.asfortranarray(centred.T @ centred / len(y))
        state = ad.gaussian_cov(
            A,
            centred.T @ (y - level) / len(y),
            lmda_path=task.alphas,
            alpha=task.l1_ratio,
            n_threads=threads,
            early_exit=False,
            progress_bar=False,
            **({"tol": 1e-14} if tight else {}),
        )
        coefs = state.betas.toarray()
        return coefs, level - coefs @ mean, None

    if (task.options or {}).get("covariance"):
        return covariance
    return cv if task.kind == "cv" else path


if __name__ == "__main__":
    serve(build)
