"""The page of formulas: as its script writes it, complete, and equal to the row terms."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import etamu as em
from etamu.links import LINKS
from etamu.rows import row_terms

sp = pytest.importorskip("sympy")
DOCS = Path(__file__).parent.parent / "docs"
_spec = importlib.util.spec_from_file_location("make_mathematics", DOCS / "make_mathematics.py")
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)


def test_the_page_is_what_its_script_writes():
    assert (DOCS / "mathematics.md").read_text(encoding="utf-8") == script.page()


def test_every_family_and_link_is_on_it():
    borrowed = {"quasi", "quasi-poisson", "quasi-binomial"}
    assert set(script.FAMILIES) == set(em.families.FAMILIES) - borrowed - {"multinomial"}
    assert set(script.LINKS) == set(LINKS) - {"softmax"}


@pytest.mark.parametrize("link", script.LINKS)
@pytest.mark.parametrize("family", script.FAMILIES)
def test_formulas_equal_the_row_terms(family, link):
    made = {"tweedie": em.families.Tweedie(power=1.3), "negative_binomial": em.families.NegativeBinomial(theta=2.5)}
    distribution = made.get(family) or em.families.FAMILIES[family]()
    mu = np.array([0.2, 0.45, 0.8])
    eta = LINKS[link].eta(mu)
    found = row_terms(distribution, LINKS[link], mu + 1.0 if family != "binomial" else np.ones(3), eta, np.ones(3))
    residual = 1.0 if family != "binomial" else 1.0 - mu
    for formula, value in zip(script.terms(family, link), (found.score / residual, found.weight), strict=True):
        at = [
            formula.subs({script.P: 1.3, script.K: 2.5, script.PHI: stats.norm.pdf(e), script.CDF: stats.norm.cdf(e)}).subs(script.ETA, float(e)) for e in eta
        ]
        np.testing.assert_allclose([float(v) for v in at], value, rtol=1e-9)
