"""Measures of predictions held to their definitions, and tables to their text."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etamu as em
from etamu.inference.table import Table
from etamu.inference.tails import log_chi2, log_f, log_normal, log_t

SMALL = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=25)


@given(SMALL)
def test_concordance_counts_pairs(rows):
    y, s, w = (np.array(v, dtype=float) for v in zip(*rows, strict=True))
    pairs = agree = 0.0
    for i, j in itertools.combinations(range(len(y)), 2):
        if y[i] != y[j]:
            pairs += w[i] * w[j]
            agree += w[i] * w[j] * (0.5 if s[i] == s[j] else float((y[i] < y[j]) == (s[i] < s[j])))
    if pairs == 0:
        return
    np.testing.assert_allclose(em.measures.concordance(y, s, w), agree / pairs, rtol=1e-12, atol=1e-12)


@given(SMALL)
def test_auc_is_the_concordance_of_two_classes(rows):
    y, s, w = (np.array(v, dtype=float) for v in zip(*rows, strict=True))
    y = (y > 1).astype(float)
    if not ((w * y).any() and (w * (1 - y)).any()):
        return
    np.testing.assert_allclose(em.measures.auc(y, s, w), em.measures.concordance(y, s, w), rtol=1e-12, atol=1e-12)


def test_gini_and_lift():
    rng = np.random.default_rng(0)
    s = rng.random(1000)
    y = rng.poisson(s).astype(float)
    w = rng.uniform(0.5, 1.5, 1000)
    order = np.argsort(s)
    share, loss = np.cumsum(w[order]) / w.sum(), np.cumsum((w * y)[order]) / (w @ y)
    curve = float(np.sum(np.diff(share, prepend=0) * (loss + np.r_[0, loss[:-1]])) / 2)
    np.testing.assert_allclose(em.measures.gini(y, s, w), 1 - 2 * curve, rtol=1e-12)
    assert em.measures.gini(y, np.zeros(1000), w) == pytest.approx(0, abs=1e-12)
    table = em.measures.lift(y, s, w, bins=5)
    assert len(table) == 5
    np.testing.assert_allclose(table["weight"] @ table["actual"], w @ y, rtol=1e-12)
    np.testing.assert_allclose(table["weight"], w.sum() / 5, rtol=0.02)


def test_actual_against_expected_by_exposure():
    exposure = np.array([0.5, 1.0, 0.25, 0.25])
    table = em.measures.actual_expected([1.0, 2, 0, 1], [0.5, 2.5, 0.25, 0.75], by=["a", "b", "a", "b"], exposure=exposure)
    np.testing.assert_allclose(table["actual"], [1 / 0.75, 3 / 1.25])
    np.testing.assert_allclose(table["ratio"], [1 / 0.75, 3 / 3.25])


@pytest.mark.parametrize("x", [0.1, 5.0, 700.0, 3000.0, 1e5])
@pytest.mark.parametrize("df", [1, 3, 40])
def test_logarithms_of_tails(x, df):
    mpmath.mp.dps = 40
    want = mpmath.log(mpmath.gammainc(mpmath.mpf(df) / 2, mpmath.mpf(x) / 2, regularized=True)) if x < 1e5 else None
    if want is not None:
        assert log_chi2(x, df) == pytest.approx(float(want), rel=1e-12, abs=1e-13)
    z = math.sqrt(x)
    assert log_normal(z) == pytest.approx(log_chi2(x, 1), rel=1e-10, abs=1e-13)
    for residual in (5, 400):
        y = mpmath.mpf(residual) / (residual + df * mpmath.mpf(x))
        want = mpmath.log(mpmath.betainc(mpmath.mpf(residual) / 2, mpmath.mpf(df) / 2, 0, y, regularized=True))
        assert log_f(x, df, residual) == pytest.approx(float(want), rel=1e-9, abs=1e-12)
    assert log_t(z, 7) == pytest.approx(log_f(x, 1, 7), rel=1e-12)


def test_tables_in_every_form():
    table = Table({"term": ["a_b", "c|d"], "df": [1, None], "p_value": [0.0, 0.25]}, "Title", "note")
    assert table.row("c|d")["p_value"] == 0.25
    assert "<1e-300" in str(table)
    assert str(table).splitlines()[0] == "Title"
    assert r"c\|d" in table.to_markdown()
    assert r"a\_b" in table.to_latex()
    assert "<caption>Title</caption>" in table._repr_html_()
    pd = pytest.importorskip("pandas")
    assert isinstance(table.to_pandas(), pd.DataFrame)
    pl = pytest.importorskip("polars")
    assert isinstance(table.to_polars(), pl.DataFrame)


def test_text_in_tables_is_data():
    table = Table({"<script>": ["<b>&"]})
    assert "<script>" not in table._repr_html_()
    assert "<b>" not in table._repr_html_()
