"""The package's frame keeps its word: what it says it needs, what its layers import, what it installs."""

import ast
import configparser
import importlib
import re
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from dove_ryu.model.blueprint import document_of_blueprint, parse

ROOT = Path(__file__).parents[2]
PURE = {"model": {"netaddr"}, "openflow": set()}
"""The layers that keep to the standard library, and what else each may import."""


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def required() -> set[str]:
    config = setup_cfg()
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return {re.split(r"[\s<>=!~]", line, maxsplit=1)[0] for text in lists for line in text.splitlines() if line.strip()}


def explained() -> set[str]:
    """What has an entry on the page of dependencies, but for the system's and what was not taken."""
    page = (ROOT / "docs" / "dependencies.rst").read_text()
    taken = page.split("\nNot taken\n")[0]
    from_python = re.sub(r"\nFrom the system\n.*?(?=\nFor tests and demo\n)", "", taken, flags=re.DOTALL)
    entries = re.findall(r"^(\S.*)\n   \S", from_python, flags=re.MULTILINE)
    return {name for entry in entries for name in entry.split(", ")}


def shown_blueprints() -> dict[str, str]:
    """Every blueprint that the README and the manual show, by where it is shown."""
    shown: dict[str, str] = {}
    for page in [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))]:
        blocks = re.findall(
            r"^\.\. code-block:: yaml\n(?:   :.*\n)*\n((?:   .*\n|\n)+)", page.read_text(), re.MULTILINE
        )
        for block in blocks:
            text = textwrap.dedent(block)
            if text.lstrip().startswith("network:"):
                shown[f"{page.name}:{len(shown)}"] = text
    return shown


def imported_roots(source: Path) -> set[str]:
    """The top-level packages that a file imports, its own relatives left out."""
    roots: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            roots.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            roots.add(node.module.partition(".")[0])
    return roots


def test_every_requirement_is_explained_and_every_explanation_required() -> None:
    assert explained() == required()


def test_every_requirement_is_bounded_on_both_sides() -> None:
    config = setup_cfg()
    lines = [line for line in config["options"]["install_requires"].splitlines() if line]
    assert [line for line in lines if not re.fullmatch(r"\S+ >=[\d.]+, <\d+", line)] == []


@pytest.mark.parametrize("layer", PURE)
def test_pure_layers_keep_to_the_standard_library(layer: str) -> None:
    allowed = sys.stdlib_module_names | PURE[layer] | {"dove_ryu"}
    foreign = {
        str(file.relative_to(ROOT)): extra
        for file in sorted((ROOT / "dove_ryu" / layer).rglob("*.py"))
        if (extra := imported_roots(file) - allowed)
    }
    assert foreign == {}


@pytest.mark.parametrize("script", setup_cfg()["options.entry_points"]["console_scripts"].split("\n")[1:])
def test_console_scripts_lead_to_a_function(script: str) -> None:
    module, _, function = script.partition("=")[2].strip().partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("text", shown_blueprints().values(), ids=shown_blueprints().keys())
def test_blueprints_that_are_shown_are_blueprints(text: str) -> None:
    document = yaml.safe_load(text)
    assert document_of_blueprint(parse(document))["network"] == document["network"]


def test_blueprints_are_shown() -> None:
    assert {where.partition(":")[0] for where in shown_blueprints()} == {
        "README.rst",
        "blueprint.rst",
        "chains.rst",
        "first-steps.rst",
        "policies.rst",
    }
