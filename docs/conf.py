"""Sphinx settings."""

import shutil
from pathlib import Path

HERE = Path(__file__).parent
(HERE / "_extra").mkdir(exist_ok=True)  # the interactive page goes along as it is
shutil.copy(HERE.parent / "src" / "etamu" / "lesson" / "page.html", HERE / "_extra" / "lesson-page.html")

project = "etamu"
author = "The etamu developers"
copyright = "2026, the etamu developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
numpydoc_show_class_members = False
suppress_warnings = ["ref.python", "autodoc.duplicate"]
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["_build", "_extra"]
html_extra_path = ["_extra"]
html_theme = "alabaster"
html_theme_options = {"description": "Generalized linear models as one idea", "fixed_sidebar": True}
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
