"""The narrated lesson: its examples run, it shows in a terminal, and its first numbers are those of the notebook it grew from."""

import doctest

import numpy as np
import pytest
from click.testing import CliRunner

import etamu as em
from etamu.cli import main
from etamu.lesson import chapters, page, plain
from etamu.solvers import GradientAscent

pytest.importorskip("sympy")


def test_every_example_runs_and_prints_what_it_shows():
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    whole = doctest.DocTestParser().get_doctest("".join(c.text for c in chapters()), {}, "lesson.md", None, 0)
    result = runner.run(whole)
    assert result.attempted > 60
    assert result.failed == 0


def test_the_notebook_is_reproduced_to_its_last_printed_digit():
    truth, ones = [3.2678, 1.365, 0.653, -0.0698], [1, 1, 1, 1]
    X, y, _ = em.datasets.make_linear(theta=truth)
    line = em.fit(X, y, intercept=False, start=ones, solver=GradientAscent(rate=1e-3, steps=1000))
    np.testing.assert_allclose(line.coef, [3.21293235, 1.30052909, 0.68080355, -0.05252388], atol=6e-9)
    X, y, _ = em.datasets.make_logistic(theta=truth)
    coin = em.fit(X, y, family="logistic", intercept=False, start=ones, solver=GradientAscent(rate=1e-3, steps=2000))
    np.testing.assert_allclose(coin.coef, [3.1325853, 1.38198022, 0.52704664, 0.11608256], atol=6e-9)
    three = np.array([[3.0, -1.0, 0.5], [1.2, 0.3, -0.8], [0.7, -0.4, 0.2], [-0.1, 0.6, -0.3]])
    X, y, _ = em.datasets.make_softmax(theta=three)
    free = em.families.Multinomial(reference=None)
    classes = em.fit(X, y, family=free, intercept=False, start=np.ones((4, 3)), solver=GradientAscent(rate=1e-3, steps=1000))
    printed = [
        [3.04584903e00, -7.28946582e-01, 6.83097551e-01],
        [1.99526300e00, 1.00735078e00, -2.61377540e-03],
        [1.44649430e00, 4.79942781e-01, 1.07356292e00],
        [9.05299805e-01, 1.56767055e00, 5.27029648e-01],
    ]
    np.testing.assert_allclose(classes.coef, printed, rtol=5e-9, atol=1e-10)


def test_it_shows_in_a_terminal():
    run = CliRunner().invoke
    whole = run(main, ["lesson"])
    assert whole.exit_code == 0
    assert "What stays" in whole.output
    assert "$" not in whole.output
    assert "\\" not in whole.output.replace("\\n", "")
    assert len(run(main, ["lesson", "--list"]).output.splitlines()) == len(chapters())
    assert "gauge" in run(main, ["lesson", "4"]).output
    assert run(main, ["lesson", "99"]).exit_code == 2


def test_the_page_is_opened(monkeypatch):
    opened = []
    monkeypatch.setattr("click.launch", opened.append)
    assert CliRunner().invoke(main, ["lesson", "--web"]).exit_code == 0
    assert opened == [page().as_uri()]
    assert page().read_text(encoding="utf-8").startswith("<!DOCTYPE html>") or page().read_text(encoding="utf-8").startswith("<!doctype html>")


def test_formulas_for_a_terminal():
    assert plain("$X^\\top (y - \\mu)$") == "X' (y - μ)"
    assert plain("```python\n>>> '$a$'\n```") == "```python\n>>> '$a$'\n```"
