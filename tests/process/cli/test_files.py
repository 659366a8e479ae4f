"""Files of blueprints: what is read, and on which line what cannot be read stands (X13)."""

import io
import sys
import textwrap

import pytest
import yaml

from dove_ryu.cli.errors import BadFile
from dove_ryu.cli.files import Document, read

SHOP = """\
# what the shop may do
network: shop
domains: [app, db]
policies:
  - {from: app, to: db, actions: [accept]}
  - from: db
    to: app
    actions:
      - accept
"""


def blueprints(tmp_path, text: str, name: str = "shop.yaml") -> list[Document]:
    file = tmp_path / name
    file.write_text(textwrap.dedent(text))
    return read((str(file),))


def refusal(tmp_path, text: str) -> str:
    with pytest.raises(BadFile) as caught:
        blueprints(tmp_path, text)
    (reason,) = caught.value.reasons
    return reason.removeprefix(f"{tmp_path}/")


def test_a_document_is_what_safe_load_makes_of_it(tmp_path) -> None:
    (shop,) = blueprints(tmp_path, SHOP)
    assert shop.name == "shop"
    assert shop.content == yaml.safe_load(SHOP)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("", 2),
        ("network", 2),
        ("policies", 4),
        ("policies[0].to", 5),
        ("policies[1]", 6),
        ("policies[1].to", 7),
        ("policies[1].actions[0]", 9),
        ("policies[1].ttl", 6),  # not written: the policy that lacks it
        ("policies[7]", 4),
        ("gateways", 2),
        ("no.such[3].place", 2),
    ],
)
def test_every_place_has_its_line(tmp_path, place: str, line: int) -> None:
    (shop,) = blueprints(tmp_path, SHOP)
    assert shop.where(place) == f"{tmp_path}/shop.yaml:{line}"


def test_several_documents_keep_their_order_and_lines(tmp_path) -> None:
    one, two = blueprints(tmp_path, "---\nnetwork: one\n---\n---\n# nothing here\n---\nnetwork: two\nvni: 7\n")
    assert (one.name, two.name) == ("one", "two")
    assert two.where("vni").endswith("shop.yaml:8")


def test_json_is_yaml(tmp_path) -> None:
    (shop,) = blueprints(tmp_path, '{"network": "shop", "domains": ["app"]}')
    assert shop.content["domains"] == ["app"]


def test_anchors_and_merges_are_resolved(tmp_path) -> None:
    (shop,) = blueprints(
        tmp_path,
        """
        network: shop
        policies:
          - &free {from: a, to: b, actions: [accept]}
          - {<<: *free, to: c}
        """,
    )
    assert shop.content["policies"][1] == {"from": "a", "to": "c", "actions": ["accept"]}


def test_standard_input(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfnetwork: shop\n")))
    (shop,) = read(("-",))
    assert shop.where("network") == "standard input:1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("network: shop\ndomains: [a,\n", "shop.yaml:3: while parsing a flow node, "),
        ("network: shop\ndomains: a: b\n", "shop.yaml:2: mapping values are not allowed in this context"),
        ("network: shop\ndomains: *what\n", "shop.yaml:2: found undefined alias"),
        ("network: shop\nvni: \x07\n", "shop.yaml:2: character U+0007 cannot be in YAML"),
        ("network: shop\nvni: 1\nvni: 2\n", "shop.yaml:3: 'vni' is here a second time"),
        ("network: shop\ndomains: [2024-01-01]\n", "shop.yaml:2: YAML takes this for a value of type timestamp"),
        ("network: shop\ndomains: [10:20:30:40:50:55]\n", "shop.yaml:2: YAML takes this for a value of type int"),
        ("network: shop\ndomains: [1.5]\n", "shop.yaml:2: YAML takes this for a value of type float"),
        ("network: !!python/name:os.system x\n", "shop.yaml:1: YAML takes this for a value of type"),
        ("network: shop\ndomains: &d [*d]\n", "shop.yaml:2: this alias stands within its own anchor"),
        ("network: shop\n? [a]\n: b\n", "shop.yaml:2: a key is a word"),
        ("network: shop\n<<: 3\n", "shop.yaml:2: while constructing a mapping, expected a mapping"),
        ("network: shop\ndomains: " + "[" * 2000 + "]" * 2000, "shop.yaml: this is nested too deeply"),
        ("- network: shop\n", "shop.yaml:1: a document is a mapping"),
        ("domains: []\n", "shop.yaml:1: network: write the network's name"),
        ("domains: []\nnetwork: 7\n", "shop.yaml:2: network: write the network's name"),
        ("# nothing\n", "shop.yaml: there is no blueprint in it"),
        ("network: a\n---\nnetwork: a\n", "shop.yaml:3: network 'a' is in"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path, text: str, reason: str) -> None:
    assert refusal(tmp_path, text).startswith(reason)


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(BadFile, match=r"nowhere\.yaml: No such file or directory"):
        read((str(tmp_path / "nowhere.yaml"),))


def test_a_file_in_another_encoding(tmp_path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes("network: shop\n# Läden\n".encode("latin-1"))
    with pytest.raises(BadFile, match=r"latin\.yaml:2: this is not UTF-8"):
        read((str(file),))
