"""The fast lane's templates: flows with holes, cut from what the plain way writes.

The lane has to write a location flow and a policy flow for any destination, and must not know how such a flow is made.
So the plain way makes one, for an address, a domain, a port, a network that nobody has, and wherever one of these
numbers stands in the message is a hole.  A number that is not there exactly once stops the first test.

There is one template for each kind of address and of way, and one for each list of actions that a policy can have, the
label of a chain being another hole.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from dove_ryu.features import policy, unicast
from dove_ryu.model.addresses import is_ipv6, is_mac
from dove_ryu.openflow.action import Action, SetField, put
from dove_ryu.openflow.fields import OUTPUT_PORT, SEGMENT_LABEL, Cookie, Kind
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.oxm import Field
from dove_ryu.southbound import codec
from dove_ryu.southbound.lane import Archive, Template

MOST_FOR_POLICIES = 1 << 16
"""Templates of policy flows that are kept, some thirty megabytes; of more, most are of what nobody has any more."""

_SAMPLES = ("a1:b2:c3:d4:e5:f6", "203.0.113.213", "2001:db8:6172:8394:a5b6:c7d8:e9fa:bcd")
"""One address of each kind, by which it is found where a flow has it."""

_VNI, _SOURCE, _DOMAIN, _ENDPOINT = 0xABCDEF, 0x50BCE0D0, 0x7E57D0D0, 0x0E57E27D
_PORT, _TUNNEL, _LABEL = 0x9097F1E5, 0x7A8B9CADBECFD0E1F20314253647586A, 0x1ABE1F


class Templates:
    """The templates by number, which all desks have.

    :param archive: keeps them.
    :param make: makes a template of a message and its holes.
    """

    def __init__(self, archive: Archive, make: Callable[..., Template]) -> None:
        self._archive = archive
        self._make = make
        self._policies: dict[tuple[Action, ...], int] = {}
        self._locations: dict[tuple[Field, ...], int] = {}
        self._free: list[int] = []

    @property
    def crowded(self) -> bool:
        """Whether it is time to forget the policies' templates."""
        return len(self._policies) >= MOST_FOR_POLICIES

    def forget_policies(self) -> None:
        """Let other templates take the numbers of the policies', to which nobody refers any more."""
        self._free += self._policies.values()
        self._policies.clear()

    def policy(self, actions: tuple[Action, ...]) -> tuple[int, int]:
        """For a policy flow with these actions: (number of the template, the label to be put in; 0 for none)."""
        labels = [action.value for action in actions if isinstance(action, SetField) and _is_label(action)]
        label = labels[0] if len(labels) == 1 else 0
        if label:
            actions = tuple(put(SEGMENT_LABEL, _LABEL) if _is_label(action) else action for action in actions)
        if actions not in self._policies:
            flow = policy.governing(_VNI, _SOURCE, _DOMAIN, Cookie(Kind.POLICY), actions)
            samples = {"vni": _VNI, "source": _SOURCE, "domain": _DOMAIN} | ({"label": _LABEL} if label else {})
            self._policies[actions] = self._cut(flow, samples)
        return self._policies[actions], label

    def location(self, tunnel: tuple[Field, ...]) -> int:
        """For a way into a tunnel or, without one, to a port: the numbers of the templates for all kinds of address."""
        if tunnel not in self._locations:
            way = [put(OUTPUT_PORT, _PORT), *(put(field, _TUNNEL & field.full_mask) for field in tunnel)]
            samples: dict[str, int | bytes] = {"vni": _VNI, "domain": _DOMAIN, "endpoint": _ENDPOINT, "port": _PORT}
            for field in tunnel:
                samples["tunnel"] = (_TUNNEL & field.full_mask).to_bytes(field.octets, "big")
            size = sum(field.octets for field in tunnel)
            numbers = [self._for_address(address, way, samples, size) for address in _SAMPLES]
            self._locations[tunnel] = numbers[0] | numbers[1] << 20 | numbers[2] << 40
        return self._locations[tunnel]

    def _for_address(self, address: str, way: list[Action], samples: dict[str, int | bytes], tunnel_size: int) -> int:
        flow = unicast.leading(_VNI, address, Cookie(Kind.LOCATION, _ENDPOINT), _DOMAIN, _SAMPLES[0], way)
        also: dict[str, int | bytes] = {"address": packed(address)}
        if not is_mac(address):
            also["mac"] = packed(_SAMPLES[0])
        return self._cut(flow, samples | also, len(packed(address)), tunnel_size)

    def _cut(self, flow: Flow, samples: Mapping[str, int | bytes], *sizes: int) -> int:
        """A new template that has its holes where *flow* has the samples."""
        data = codec.change(flow)
        made = self._make(data, {name: _only(data, sample) for name, sample in samples.items()}, *sizes)
        number = self._free.pop() if self._free else len(self._archive.templates)
        self._archive.keep(number, made)
        return number


def _is_label(action: Action) -> bool:
    return isinstance(action, SetField) and (action.field, action.mask) == (SEGMENT_LABEL.field, SEGMENT_LABEL.mask)


def _only(data: bytes, sample: int | bytes) -> int:
    """Where in *data* the sample is, which it has once."""
    octets = sample if isinstance(sample, bytes) else sample.to_bytes(3 if sample in (_VNI, _LABEL) else 4, "big")
    if data.count(octets) != 1:
        raise ValueError(f"{octets.hex()} is not once in {data.hex()}")
    return data.index(octets)


def packed(address: str) -> bytes:
    """An address as a frame has it."""
    if is_mac(address):
        return bytes.fromhex(address.replace(":", ""))
    return socket.inet_pton(socket.AF_INET6 if is_ipv6(address) else socket.AF_INET, address)
