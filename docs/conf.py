"""How the documentation site is made: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

import ipinsights

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ipinsights"
author = "The ipinsights authors"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
version = release = ipinsights.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "mathml",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = f"ipinsights {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
pygments_style = "tango"
pygments_dark_style = "github-dark"

# Two dashes begin an option, and are no dash.
smartquotes_action = "qe"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
# A dollar before a space is a prompt or a price.
myst_dmath_allow_space = False
myst_heading_anchors = 3
# The notebook keeps the outputs of its last run; a test runs it anew.
nb_execution_mode = "off"

# No types are written in docstrings: the signatures have them.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options: dict[str, bool] = {}
napoleon_google_docstring = False
napoleon_attr_annotations = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True

# Every reference to a public name must lead somewhere. What is outside of this package has no inventory to look in
# without a network, and annotations name classes as their module imported them.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!ipinsights\.\w+$).*")]
# Two modules may have a class of the same name; an annotation then links to the first.
suppress_warnings = ["ref.python"]
