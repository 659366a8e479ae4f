"""A network appliance as a bump in the wire: a namespace with two ports, and nftables between them.

What comes in at one port and passes the appliance's rules goes out at the other, as it came, its VLAN tag included. That
is nftables' netdev family: its ingress hook sees whole frames, `fwd` hands them to the other device, and nothing of the
kernel's bridge or IP stack takes part. So there is nothing to learn and nothing to configure, and any tag passes, as long
as no rule says otherwise; a rule tells networks with the same addresses apart by `vlan id`.

`FIREWALL`, `SSL` and `COMPRESSION` are the report's appliances (table 4): the first is one, the others stand in for their
kind and leave a mark that anybody can see. Every appliance counts what it has let pass, by VLAN and pair of addresses.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import namespace
from emulated_node import EmulatedNode, connect, ip, random_mac
from footprint import Footprint

if TYPE_CHECKING:
    from hypervisor import Hypervisor

#: Rules for what nobody needs between two tiers: remote shells in the clear, and a guest's own DHCP server.
FIREWALL = "tcp dport { 23, 512-514 } drop\nudp sport 67 drop"
#: Expedited forwarding (RFC 3246), in a packet's field for differentiated services.
MARK = 46
#: A stand-in that rewrites a field: what it has worked on bears the mark.
SSL = f"ip dscp set {MARK}\nip6 dscp set {MARK}"
#: A stand-in that rewrites nothing and counts what it would compress; counting is what every appliance does.
COMPRESSION = ""

_RULES = """
table netdev appliance {{
    set passed_ip {{ typeof vlan id . ip saddr . ip daddr; flags dynamic; counter; size 65535; }}
    set passed_ip6 {{ typeof vlan id . ip6 saddr . ip6 daddr; flags dynamic; counter; size 65535; }}
    chain work {{
        {rules}
    }}
    chain wire {{
        type filter hook ingress device "{ingress}" priority filter
        jump work
        update @passed_ip {{ vlan id . ip saddr . ip daddr }}
        update @passed_ip6 {{ vlan id . ip6 saddr . ip6 daddr }}
        fwd to "{egress}"
    }}
}}
"""


class Passage(NamedTuple):
    """What an appliance tells packets apart by."""

    vlan: int
    source: str
    destination: str


class Appliance(EmulatedNode):
    """An appliance on a server, whose ports are `NAME-in` and `NAME-out` there."""

    IN, OUT = "in", "out"

    def __init__(
        self, name: str, footprint: Footprint, server: Hypervisor, rules: str = "", *, mtu: int, ports: int = 2
    ) -> None:
        """`rules` are those of an nftables chain of the netdev family, for every frame. With one of `ports` frames
        go back to where they came from."""
        super().__init__(name, footprint)
        self.server = server
        self.devices = (self.IN, self.OUT)[:ports]
        for device in self.devices:
            connect(self, device, random_mac(), server, self._port(device))
            for node, end in ((self, device), (server, self._port(device))):
                with node.inside():
                    ip(f"link set {end} mtu {mtu} up")
            server.vsctl("add-port", server.DSWITCH, self._port(device))
        self.load(rules)

    def prepare(self) -> None:
        super().prepare()
        namespace.sysctl("ipv6/conf/default/disable_ipv6", 1)  # it says nothing of its own

    @property
    def server_ports(self) -> Mapping[str, str]:
        """The names of its ports on the server, as an instance of an appliance is registered with them."""
        return {"ingress": self._port(self.devices[0]), "egress": self._port(self.devices[-1])}

    def load(self, rules: str) -> None:
        """Replace its rules, and forget what has passed; in between it lets nothing through."""
        file = self.directory / "rules.nft"
        file.write_text(_RULES.format(rules=rules, ingress=self.devices[0], egress=self.devices[-1]))
        self.run("nft", "flush", "ruleset")
        self.run("nft", "--file", str(file))

    def passed(self) -> Counter[Passage]:
        """How many packets it has let pass."""
        return Counter(
            {
                Passage(*element["val"]["concat"]): element["counter"]["packets"]
                for family in ("ip", "ip6")
                for element in self._elements(f"passed_{family}")
            }
        )

    def _elements(self, name: str) -> list[dict[str, Any]]:
        listed = json.loads(self.run("nft", "--json", "list", "set", "netdev", "appliance", name))
        found = next(each["set"] for each in listed["nftables"] if "set" in each)
        return [each["elem"] for each in found.get("elem", ())]

    def _port(self, device: str) -> str:
        return f"{self.name}-{device}"
