"""The README's Python examples run, and its first two commands are the ones promised."""

import doctest
import re
from pathlib import Path

import pytest

from etamu.core import core

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_python_examples():
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.attempted > 5
    assert result.failed == 0


def test_the_first_two_commands():
    blocks = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert [b.strip() for b in blocks[:2]] == ["make demo", "make test"]


PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if ">>>" in page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_documentation_examples(page):
    if core is None and page.name in ("tables.md", "files.md"):
        pytest.skip("it shows cells and factors of thousands of levels, which need the compiled core")
    if page.name == "derive.md":
        pytest.importorskip("sympy")
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0
