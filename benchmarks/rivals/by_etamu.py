"""etamu: a path, one alpha, cross-validation, or a table through a formula."""

from __future__ import annotations

import numpy as np
from common import Found, Solve, Task, serve

import etamu as em


def build(task: Task, tight: bool) -> Solve:
    more = {"control": em.Control(tol=1e-12)} if tight else {}

    def path() -> Found:
        found = em.glm_path(X=task.X, y=task.y, family=task.family, l1_ratio=task.l1_ratio, alphas=task.alphas, **more)
        return found.coefs, found.intercepts, None

    def single() -> Found:
        penalty = em.ElasticNet(alpha=float(task.alphas[0]), l1_ratio=task.l1_ratio)
        fit = em.fit(task.X, task.y, family=task.family, penalty=penalty, **more)
        return fit.coef[None, 1:], fit.coef[:1], None

    def cv() -> Found:
        found = em.cross_validate(X=task.X, y=task.y, family=task.family, l1_ratio=task.l1_ratio, alphas=task.alphas, folds=task.folds, **more)
        return None, None, found.mean_deviance

    def table() -> Found:
        formula = f"claims ~ {task.terms}"
        if len(task.alphas) > 1:
            found = em.glm_path(formula, task.frame, family=task.family, exposure="exposure", l1_ratio=task.l1_ratio, alphas=task.alphas, **more)
            return found.coefs, found.intercepts, None
        penalty = em.ElasticNet(alpha=float(task.alphas[0]), l1_ratio=task.l1_ratio)
        fit = em.glm(formula, task.frame, family=task.family, exposure="exposure", penalty=penalty, **more)
        return np.atleast_2d(fit.coef[1:]), fit.coef[:1], None

    return {"path": path, "single": single, "cv": cv, "table": table}[task.kind]


if __name__ == "__main__":
    serve(build)
