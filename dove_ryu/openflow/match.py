"""What a flow compares with a packet: fields with values and masks, in one order for equal matches.

Most of what it takes to make a match depends on what is compared and not on its value: which other fields that needs,
and which comes before which.  So it is found out once for each selection of names (:class:`Layout`).  And an endpoint's
flows, which are made one after the other, compare the same few things again and again, so the latest terms are at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
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


class Match(tuple[Term, ...]):
    """What a flow matches: terms in the order of :data:`oxm.FIELDS`, prerequisites included."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(self._words())

    def _words(self) -> Iterator[str]:
        values = {term.field: term.value for term in self}
        eth_type, ip_proto = values.get(oxm.ETH_TYPE), values.get(oxm.IP_PROTO)
        spoken: set[Field] = set()
        if eth_type is not None:
            for proto, said in ((ip_proto, {oxm.ETH_TYPE, oxm.IP_PROTO}), (None, {oxm.ETH_TYPE})):
                if (eth_type, proto) in oxm.SHORTHANDS:
                    spoken = said
                    yield oxm.SHORTHANDS[eth_type, proto]
                    break
        for term in self:
            if term.field not in spoken:
                yield str(term)

    def value(self, key: Field | Bits) -> int | None:
        """What a field, or some bits of one, must be; None where they are not compared."""
        sought = key.field if isinstance(key, Bits) else key
        for term in self:
            if term.field is sought:
                return key.read(term.value) if isinstance(key, Bits) else term.value
        return None

    def text(self, key: Field) -> str | None:
        """The same, in the field's own notation."""
        value = self.value(key)
        return None if value is None else key.notation.text(value)

    def fields(self) -> frozenset[Field]:
        """The fields that are compared."""
        return frozenset(term.field for term in self)


Masked = tuple[int | str, int | str]

Value = int | str | Masked

Terms = dict[Field | Bits, Value]
"""What a match is made of, before it is checked and put in order."""


def match(values: Mapping[Field | Bits, Value] | None = None) -> Match:
    """A match on *values*, with the prerequisites of each field added.

    :param values: a value is a number, the field's own notation, ``ADDRESS/LENGTH`` for IP addresses, or (value, mask).
    :raises ValueError: where a value does not suit its field or two prerequisites contradict each other.
    """
    values = {} if values is None else values
    return layout(tuple(values)).match(values)


class Layout(NamedTuple):
    """What all matches on the same names have in common, whatever the values.

    :ivar fields: those that are compared.
    :ivar prerequisites: terms that must be compared along with what is named.
    :ivar arrange: puts the prerequisites, and what is named after them, in order; None where two of them are about one
        field, and it takes the values to say whether they agree.
    """

    fields: tuple[Field, ...]
    prerequisites: tuple[Term, ...]
    arrange: Callable[[Sequence[Term]], Iterable[Term]] | None

    def match(self, values: Mapping[Field | Bits, Value]) -> Match:
        """The match on *values*, whose names are those of the layout."""
        terms = [*self.prerequisites, *map(_term, values, values.values())]
        arranged = _merged(terms) if self.arrange is None else self.arrange(terms)
        # A switch forgets a term that compares nothing, and the flow would come back as another.
        return Match(filter(_MASK, arranged))


_MASK = attrgetter("mask")


@lru_cache(maxsize=1024)
def layout(names: tuple[Field | Bits, ...]) -> Layout:
    """The layout of matches on *names*."""
    named = [name.field if isinstance(name, Bits) else name for name in names]
    needed = dict.fromkeys(Term(need, value, need.full_mask) for which in named for need, value in which.requires)
    fields = *named, *(term.field for term in needed)
    ranks = [which.rank for which in (*(term.field for term in needed), *named)]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    arrange: Callable[[Sequence[Term]], Iterable[Term]] | None = None
    if len({*ranks}) == len(ranks):
        arrange = iter if order == sorted(order) else itemgetter(*order)
    return Layout(fields, tuple(needed), arrange)


@lru_cache(maxsize=256)
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


def _merged(terms: Iterable[Term]) -> list[Term]:
    """One term for each field, in order."""
    merged: dict[Field, Term] = {}
    for term in terms:
        known = merged.setdefault(term.field, term)
        if known == term:
            continue
        if known.mask & term.mask:
            raise ValueError(f"{term} contradicts {known} in one match")
        merged[term.field] = Term(term.field, known.value | term.value, known.mask | term.mask)
    return sorted(merged.values(), key=lambda term: term.field.rank)


def span(which: Field, low: int, width: int) -> str:
    """Some bits of a field as ``ovs-ofctl`` writes them in an action."""
    if width == which.width:
        return f"{which.nxm}[]"
    return f"{which.nxm}[{low}]" if width == 1 else f"{which.nxm}[{low}..{low + width - 1}]"
