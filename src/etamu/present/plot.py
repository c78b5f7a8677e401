"""Plots of paths and cross-validations, by matplotlib, which is imported when the first is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError, UndefinedStatisticError

if TYPE_CHECKING:
    from etamu.path import Path
    from etamu.validation import CrossValidation

__all__ = ["plot_path", "plot_validation"]


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise SpecificationError("plots are drawn by matplotlib, which is not installed; run: pip install 'etamu[plot]'.") from None
    return plt.subplots()[1]


def plot_path(path: Path, ax: Any = None) -> Any:
    """Each coefficient against alpha, the largest at the end named."""
    if path.coefs.ndim == 3:
        raise UndefinedStatisticError("a multinomial path has a coefficient per class; plot `path.coefs[:, :, k]` for one of them.")
    ax = _axes(ax)
    used = np.flatnonzero((path.coefs != 0).any(axis=0))
    lines = ax.plot(path.alphas, path.coefs[:, used], lw=1)
    for k in np.argsort(-np.abs(path.coefs[-1, used]))[:8]:
        ax.annotate(path.names[used[k]], (path.alphas[-1], path.coefs[-1, used[k]]), fontsize=8, color=lines[k].get_color())
    return _labelled(ax, "coefficient")


def plot_validation(cv: CrossValidation, ax: Any = None) -> Any:
    """The mean of held-out rows with one standard error, and the alphas that the rules choose."""
    ax = _axes(ax)
    ax.errorbar(cv.alphas, cv.mean, cv.se, fmt=".", lw=1, capsize=2)
    for alpha, style in ((cv.best_alpha, "-"), (cv.one_se_alpha, "--")):
        ax.axvline(alpha, ls=style, lw=1, color="grey")
    return _labelled(ax, f"mean {cv.metric} of held-out rows")


def _labelled(ax: Any, what: str) -> Any:
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.set_xlabel("alpha")
    ax.set_ylabel(what)
    return ax
