"""What a flow compares with a packet: fields with values and masks, in one order for equal matches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import Bits
from dove_ryu.openflow.oxm import Field


class Term(NamedTuple):
    """One field of a match with its value and mask."""

    field: Field
    value: int
    mask: int

    def __str__(self) -> str:
        text = self.field.notation.text
        if self.field is oxm.CT_STATE:
            states = ((bit, name) for bit, name in oxm.CONNECTION_STATES.items() if self.mask & bit)
            return "ct_state=" + "".join(f"{'+' if self.value & bit else '-'}{name}" for bit, name in states)
        if self.mask == self.field.full_mask:
            if self.field is oxm.VLAN_VID and self.value & oxm.TAGGED:
                return f"dl_vlan={self.value & ~oxm.TAGGED}"
            return f"{self.field.name}={text(self.value)}"
        if self.field.notation in (oxm.IPV4_ADDRESS, oxm.IPV6_ADDRESS):
            length = self.mask.bit_count()
            if self.mask == self.field.full_mask ^ self.field.full_mask >> length:
                return f"{self.field.name}={text(self.value)}/{length}"
        if self.field is oxm.TCP_FLAGS:
            compared = (each for each in enumerate(oxm.TCP_FLAG_NAMES) if self.mask >> each[0] & 1)
            return "tcp_flags=" + "".join("-+"[self.value >> bit & 1] + name for bit, name in compared)
        return f"{self.field.name}={text(self.value)}/{text(self.mask)}"


class Match(NamedTuple):
    """What a flow matches: terms in the order of :data:`oxm.FIELDS`, prerequisites included."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return ",".join(self._words())

    def _words(self) -> Iterator[str]:
        values = {term.field: term.value for term in self.terms}
        eth_type, ip_proto = values.get(oxm.ETH_TYPE), values.get(oxm.IP_PROTO)
        spoken: set[Field] = set()
        if eth_type is not None:
            for proto, said in ((ip_proto, {oxm.ETH_TYPE, oxm.IP_PROTO}), (None, {oxm.ETH_TYPE})):
                if (eth_type, proto) in oxm.SHORTHANDS:
                    spoken = said
                    yield oxm.SHORTHANDS[eth_type, proto]
                    break
        for term in self.terms:
            if term.field not in spoken:
                yield str(term)

    def value(self, key: Field | Bits) -> int | None:
        """What a field, or some bits of one, must be; None where they are not compared."""
        sought = key.field if isinstance(key, Bits) else key
        for term in self.terms:
            if term.field is sought:
                return key.read(term.value) if isinstance(key, Bits) else term.value
        return None

    def text(self, key: Field) -> str | None:
        """The same, in the field's own notation."""
        value = self.value(key)
        return None if value is None else key.notation.text(value)

    def fields(self) -> frozenset[Field]:
        """The fields that are compared."""
        return frozenset(term.field for term in self.terms)


Masked = tuple[int | str, int | str]

Value = int | str | Masked

Terms = dict[Field | Bits, Value]
"""What a match is made of, before it is checked and put in order."""


def match(values: Mapping[Field | Bits, Value] | None = None) -> Match:
    """A match on *values*, with the prerequisites of each field added.

    :param values: a value is a number, the field's own notation, ``ADDRESS/LENGTH`` for IP addresses, or (value, mask).
    :raises ValueError: where a value does not suit its field or two prerequisites contradict each other.
    """
    terms: dict[Field, Term] = {}
    for key, value in (values or {}).items():
        term = _term(key, value)
        if term.mask:  # a switch forgets a term that compares nothing, and the flow would come back as another
            _merge(terms, term)
        for needed in _prerequisites(term.field):
            _merge(terms, needed)
    return Match(tuple(sorted(terms.values(), key=_rank)))


@cache
def _prerequisites(which: Field) -> tuple[Term, ...]:
    return tuple(Term(needed, value, needed.full_mask) for needed, value in which.requires)


def _rank(term: Term) -> int:
    return term.field.rank


def _term(key: Field | Bits, value: Value) -> Term:
    if isinstance(key, Bits):
        if not isinstance(value, int) or value >> key.width:
            raise ValueError(f"{key.name}: {value!r} does not fit {key.width} bits")
        if (key.low, key.width) == (0, key.field.width) or key.field is oxm.METADATA:
            return Term(key.field, value << key.low, key.field.full_mask)
        return Term(key.field, value << key.low, key.mask)
    if isinstance(value, tuple):
        number, mask = key.parse(value[0]), key.parse(value[1])
        return Term(key, number & mask, mask)
    if isinstance(value, str) and "/" in value:
        address, _, length = value.partition("/")
        if not length.isdecimal() or int(length) > key.width:
            raise ValueError(f"{key.name}: {value!r} needs a length of 0 to {key.width} bits")
        mask = key.full_mask ^ key.full_mask >> int(length)
        return Term(key, key.parse(address) & mask, mask)
    return Term(key, key.parse(value), key.full_mask)


def _merge(terms: dict[Field, Term], term: Term) -> None:
    known = terms.setdefault(term.field, term)
    if known is term or known == term:
        return
    if known.mask & term.mask:
        raise ValueError(f"{term} contradicts {known} in one match")
    terms[term.field] = Term(term.field, known.value | term.value, known.mask | term.mask)


def span(which: Field, low: int, width: int) -> str:
    """Some bits of a field as ``ovs-ofctl`` writes them in an action."""
    if width == which.width:
        return f"{which.nxm}[]"
    return f"{which.nxm}[{low}]" if width == 1 else f"{which.nxm}[{low}..{low + width - 1}]"
