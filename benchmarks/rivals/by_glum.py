"""glum: alpha_search along given alphas, one alpha, GeneralizedLinearRegressorCV, and tables with native categoricals."""

from __future__ import annotations

import numpy as np
import tabmat
from common import Found, Solve, Task, serve
from glum import GeneralizedLinearRegressor, GeneralizedLinearRegressorCV


def build(task: Task, tight: bool) -> Solve:
    more = {"gradient_tol": 1e-10, "max_iter": 1000} if tight else {}
    family = {"gaussian": "normal"}.get(task.family, task.family)
    y, w = np.asarray(task.y, dtype=float), None
    alphas = task.alphas
    if task.kind == "table":  # an offset log(e) of Poisson counts is the same as y/e with weights e; the penalty then counts per exposure
        assert task.exposure is not None
        y, w, alphas = y / task.exposure, task.exposure, alphas * len(y) / task.exposure.sum()
        # native categoricals, from the frame as etamu gets it
        X = task.frame.drop(columns=["claims", "exposure"])
        more["drop_first"] = True
    else:
        X = tabmat.as_tabmat(task.X)

    def path() -> Found:
        model = GeneralizedLinearRegressor(family=family, l1_ratio=task.l1_ratio, alpha_search=True, alphas=alphas, **more).fit(X, y, sample_weight=w)
        return np.asarray(model.coef_path_), np.asarray(model.intercept_path_), None

    def single() -> Found:
        model = GeneralizedLinearRegressor(family=family, l1_ratio=task.l1_ratio, alpha=float(alphas[0]), **more).fit(X, y, sample_weight=w)
        return model.coef_[None], np.atleast_1d(model.intercept_), None

    def cv() -> Found:
        model = GeneralizedLinearRegressorCV(family=family, l1_ratio=task.l1_ratio, alphas=alphas, cv=task.splits(), **more).fit(X, y)
        return None, None, np.mean(model.deviance_path_, axis=(0, 1))

    if task.kind == "cv":
        return cv
    return path if len(alphas) > 1 else single


if __name__ == "__main__":
    serve(build)
