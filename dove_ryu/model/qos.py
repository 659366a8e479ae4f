"""What a policy may do to packets with no appliance for it: mark them, and limit their rate (X8).

A policy says so in its own fields, ``dscp`` and ``rate``, or by an action that several policies share; both say the same
and become the same values.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from dove_ryu.model.reading import Part

HIGHEST_DSCP = 63
"""Six bits (RFC 2474)."""

HIGHEST_KBPS = 1_000_000_000
"""A terabit a second; a meter's rate has 32 bits."""

LEAST_BURST = 120
"""Kilobits of ten full frames: below that a rate is not one that TCP can use."""


class Per(enum.Enum):
    """Who shares a rate."""

    POLICY = "policy"
    """All that a dSwitch's endpoints send under the policy."""

    ENDPOINT = "endpoint"
    """Each sender has it for itself."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What may be sent; what is more is dropped.

    :ivar kbps: kilobits a second.
    :ivar burst: kilobits that may come at once.
    """

    kbps: int
    burst: int
    per: Per = Per.POLICY

    def __str__(self) -> str:
        return f"{self.kbps} kbit/s (bursts of {self.burst} kbit) per {self.per.value}"


@dataclass(frozen=True, slots=True)
class Mark:
    """The differentiated services code point that packets get."""

    dscp: int


Config = str | Mark | Rate
"""An action's configuration: ours for ``mark`` and ``rate``, for all others a text that is handed on unread."""


def document_of_config(config: Config) -> Any:
    """A configuration in the form that blueprints and the store have."""
    if isinstance(config, Mark):
        return {"dscp": config.dscp}
    return document_of_rate(config) if isinstance(config, Rate) else config


def document_of_rate(rate: Rate | None) -> dict[str, Any] | None:
    """Likewise for a rate, or none."""
    return None if rate is None else {"kbps": rate.kbps, "burst": rate.burst, "per": rate.per.value}


def config_of_document(document: Any) -> Config:
    """The reverse of :func:`document_of_config`."""
    if isinstance(document, str):
        return document
    return Mark(document["dscp"]) if "dscp" in document else _rate_of(document)


def rate_of_document(document: dict[str, Any] | None) -> Rate | None:
    """The reverse of :func:`document_of_rate`."""
    return None if document is None else _rate_of(document)


def _rate_of(document: dict[str, Any]) -> Rate:
    return Rate(document["kbps"], document["burst"], Per(document["per"]))


def read_config(part: Part, kind: str) -> Config:
    """The configuration that a blueprint gives an action of a kind."""
    if kind == "mark":
        fields = part.fields("dscp")
        return Mark(0 if fields is None else _needed(fields["dscp"], 0, HIGHEST_DSCP))
    if kind == "rate":
        return read_rate(part)
    config = part.text(default="")
    if config and kind == "log":
        part.complain("an action of kind 'log' has no configuration; leave it out")
    return config


def read_rate(part: Part) -> Rate:
    """The rate that a blueprint says."""
    fields = part.fields("kbps", "burst", "per")
    if fields is None:
        return Rate(1, 1)
    kbps = _needed(fields["kbps"], 1, HIGHEST_KBPS)
    burst = fields["burst"].number(1, HIGHEST_KBPS, max(kbps // 5, LEAST_BURST))
    per = fields["per"].choice([each.value for each in Per], Per.POLICY.value)
    return Rate(kbps, burst, Per(per))


def read_dscp(part: Part) -> int | None:
    """The code point that a blueprint says, if any."""
    return part.number(0, HIGHEST_DSCP, 0) if part else None


def _needed(part: Part, low: int, high: int) -> int:
    if not part:
        part.complain(f"missing; write a whole number from {low} to {high}")
    return part.number(low, high, low)
