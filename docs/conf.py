"""Sphinx settings."""

import re
import shutil
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

project = "etamu"
author = "The etamu developers"
copyright = "2026, the etamu developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
numpydoc_show_class_members = False
suppress_warnings = ["ref.python", "autodoc.duplicate"]
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["_build", "_extra"]
html_extra_path = ["_extra"]
html_math_renderer = "mathml"
html_theme = "furo"
html_title = "etamu"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#3c4bc2", "color-brand-content": "#3c4bc2"},
    "dark_css_variables": {"color-brand-primary": "#a4acff", "color-brand-content": "#a4acff"},
}
autodoc_default_options = {"members": True}
autodoc_typehints = "none"

HERE = Path(__file__).parent
(HERE / "_extra").mkdir(exist_ok=True)  # the interactive page goes along as it is
shutil.copy(HERE.parent / "src" / "etamu" / "lesson" / "page.html", HERE / "_extra" / "lesson-page.html")


PRIME = re.compile(r"<msup>(<m[io]>[^<]*</m[io]>)<mi>(&#x0203[23];)</mi></msup>")  # a prime is raised already; as a superscript it is a speck


def formula(display, close):
    """A visitor that writes a formula as MathML, which browsers show without scripts or a network."""

    def visit(self, node):
        text = node.astext().replace(r"\Bigl", r"\left").replace(r"\Bigr", r"\right")
        self.body.append(PRIME.sub(r"<mrow>\1<mo lspace='0' rspace='0'>\2</mo></mrow>", convert(text, display=display)) + close)
        raise SkipNode

    return visit


def setup(app):
    app.add_html_math_renderer("mathml", (formula("inline", ""), None), (formula("block", "\n"), None))
