"""The lesson this project grew from: a narrated page whose every example runs, and an interactive one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

__all__ = ["Chapter", "chapters", "page", "plain"]


@dataclass(frozen=True)
class Chapter:
    """One chapter, in Markdown."""

    number: int
    title: str
    text: str


def _text() -> str:
    return (files("etamu.lesson") / "lesson.md").read_text(encoding="utf-8")


def chapters() -> tuple[Chapter, ...]:
    """The chapters in order; number 0 is the introduction.

    >>> from etamu.lesson import chapters
    >>> chapters()[1].title
    'One function'
    """
    head, *rest = re.split(r"^## ", _text(), flags=re.MULTILINE)
    found = [Chapter(0, head.splitlines()[0].removeprefix("# "), head)]
    for number, part in enumerate(rest, start=1):
        title = part.splitlines()[0].partition(". ")[2]
        found.append(Chapter(number, title, f"## {part}"))
    return tuple(found)


def page() -> Path:
    """The interactive page, one HTML file that needs nothing else."""
    return Path(str(files("etamu.lesson") / "page.html"))


_SIGNS = {
    r"\theta": "θ",
    r"\beta": "β",
    r"\eta": "η",
    r"\mu": "μ",
    r"\pm": "±",
    r"\cdot": "·",
    r"^\top": "'",
    r"^{-1}": "⁻¹",
    r"\lfloor": "⌊",
    r"\rfloor": "⌋",
    r"\,": " ",
    r"\{": "{",
    r"\}": "}",
    r"\%": "%",
    r"\mathrm{diag}": "diag",
}


def plain(markdown: str) -> str:
    """The formulas of a chapter as a terminal can show them.

    >>> from etamu.lesson import plain
    >>> plain(r"$X^\\top (y - \\mu)$")
    "X' (y - μ)"
    """
    code = re.split(r"(```.*?```)", markdown, flags=re.DOTALL)
    return "".join(part if part.startswith("```") else _formulas(part) for part in code)


def _formulas(text: str) -> str:
    text = re.sub(r"\$\$\n(.*?)\n\$\$", lambda m: f"```text\n{_signs(m[1])}\n```", text, flags=re.DOTALL)
    return re.sub(r"\$([^$]+)\$", lambda m: _signs(m[1]), text)


def _signs(formula: str) -> str:
    formula = re.sub(r"\\text\{([^}]*)\}", r"\1", formula)
    for latex, sign in _SIGNS.items():
        formula = formula.replace(latex, sign)
    formula = re.sub(r"e\^\{((?:[^{}]|\{[^{}]*\})*)\}", r"exp(\1)", formula)
    formula = re.sub(r"e\^(\w+|θ)", r"exp(\1)", formula)
    return formula
