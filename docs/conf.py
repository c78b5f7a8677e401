"""Sphinx settings."""

project = "etamu"
author = "The etamu developers"
copyright = "2026, the etamu developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
numpydoc_show_class_members = False
suppress_warnings = ["ref.python", "autodoc.duplicate"]
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Generalized linear models as one idea", "fixed_sidebar": True}
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
