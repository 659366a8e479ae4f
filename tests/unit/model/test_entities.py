"""What entities say of themselves, and how two dSwitches agree on a tunnel."""

import pytest

from dove_ryu.model.entities import DSwitch, Encapsulation, Endpoint, Gateway, dpid_text
from dove_ryu.model.tunnel import tunnel_between

GENEVE, VXLAN = Encapsulation.GENEVE, Encapsulation.VXLAN


def test_addresses_without_their_lengths_and_prefixes_apart() -> None:
    assert Gateway("02:5e:00:00:00:01", ("10.0.0.1/24", "fd00::1/64")).ips == ("10.0.0.1", "fd00::1")
    endpoint = Endpoint("web", "ext", 1, "lb", (), ("192.0.2.1", "0.0.0.0/0", "fd00::1"))
    assert endpoint.addresses == ("192.0.2.1", "fd00::1")
    assert endpoint.prefixes == ("0.0.0.0/0",)


def test_a_datapath_id_as_operators_write_it() -> None:
    assert dpid_text(0xD0) == "00000000000000d0"


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (DSwitch(1, "", ("192.0.2.1",)), DSwitch(2, "", ("192.0.2.2",)), (GENEVE, "192.0.2.2")),
        (
            DSwitch(1, "", ("192.0.2.1", "2001:db8::1"), (VXLAN, GENEVE)),
            DSwitch(2, "", ("2001:db8::2", "192.0.2.2"), (VXLAN,)),
            (VXLAN, "2001:db8::2"),
        ),
        (DSwitch(1, "", ("2001:db8::1",)), DSwitch(2, "", ("192.0.2.2", "2001:db8::2")), (GENEVE, "2001:db8::2")),
        (DSwitch(1, "", ("2001:db8::1",)), DSwitch(2, "", ("192.0.2.2",)), None),
        (DSwitch(1, "", ("192.0.2.1",)), DSwitch(2, "", ("192.0.2.2",), (VXLAN,)), None),
    ],
)
def test_a_pair_uses_the_best_tunnel_that_both_speak(ours: DSwitch, theirs: DSwitch, expected: object) -> None:
    """F10, F12."""
    assert tunnel_between(ours, theirs) == expected
