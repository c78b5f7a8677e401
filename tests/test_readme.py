"""The README's Python examples run, and its first two commands are the ones promised."""

import doctest
import re
from pathlib import Path

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


def test_documentation_examples():
    for page in sorted((ROOT / "docs").glob("*.md")):
        if core is None and page.name == "tables.md":
            continue  # it shows cells and factors of thousands of levels, which need the compiled core
        result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        assert result.failed == 0, page.name
