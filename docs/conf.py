"""How the site is built: `make docs`."""

import shutil
import sys
from pathlib import Path

here = Path(__file__).parent
sys.path.insert(0, str(here / "_ext"))
# A page of a module that is gone would be one that no table of contents has.
shutil.rmtree(here / "reference" / "generated", ignore_errors=True)

project = "remote kernel providers"
author = "the remote kernel providers authors"
copyright = author  # noqa: A001  # Sphinx's name

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "reference_from_code",
]
exclude_patterns = ["_build", "examples", "requirements.txt"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Examples are to be copied with the quotes that they have.
smartquotes = False

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_use_type_comments = False
numpydoc_show_class_members = False
# What single backticks mean in our docstrings.
default_role = "code"

html_theme = "furo"
html_title = "remote kernel providers"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
