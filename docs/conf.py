"""How Sphinx builds the manual.

The page of the pipeline's tables is written by the program itself, from the one declaration that also
makes the flows, and so cannot fall behind it.
"""

import subprocess
import sys
from pathlib import Path

import dove_ryu

HERE = Path(__file__).parent

project = "dove_ryu"
copyright = "the dove_ryu authors, Apache-2.0"
version = release = dove_ryu.__version__

exclude_patterns = [
    "_build",
    "generated",
    "results",
]  # generated/ is included by architecture.rst, results/ by benchmarks.rst: they are no pages of their own
nitpicky = True
default_role = "literal"
highlight_language = "console"

html_theme = "furo"
html_static_path = ["_static"]
html_title = "dove_ryu"


def write_pipeline_page() -> None:
    page = HERE / "generated" / "pipeline.rst"
    page.parent.mkdir(exist_ok=True)
    page.write_bytes(
        subprocess.run([sys.executable, "-m", "dove_ryu.openflow.manual"], check=True, stdout=subprocess.PIPE).stdout
    )


write_pipeline_page()
