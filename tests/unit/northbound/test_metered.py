"""What a dSwitch says of its meters reaches the operator, and what is refused is counted by reason (X3)."""

import pytest

from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.pipeline import LIMIT, LOCATION
from dove_ryu.service import Service
from dove_ryu.southbound import codec
from tests.process.southbound.conftest import Switch as Wire

from .served import SHOP, Client
from .switch import Switch

WEB1 = "/v1/networks/shop/endpoints/web1/location"


@pytest.fixture
def rest(running: Service) -> Client:
    client = Client(running)
    client.put("/v1/networks/shop/blueprint", SHOP)
    client.put(WEB1, {"dswitch": "1", "port": "tap0"})
    return client


@pytest.mark.parametrize("most", [0, 1000])
def test_whether_a_dswitch_limits_its_endpoints(rest: Client, running: Service, most: int) -> None:
    switch = Switch(running, 1)
    switch.most_meters = most
    switch.connect("tap0")
    limits = [key for key in switch.flows if key[0] == LIMIT.number and key[1] > 0]
    assert rest.get("/v1/dswitches/1")["metered"] == bool(most) == bool(limits)
    switch.disconnect()
    assert not rest.get("/v1/dswitches/1")["metered"]


def test_what_is_refused_is_counted_by_its_reason(
    rest: Client, running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Switch(running, 1).connect("tap0")
    whole = Wire.packet_in(int(Cookie(Kind.MISS, LOCATION.number)))

    def refused() -> dict[str, int]:
        return {reason: count for reason, count in rest.get("/v1/status")["refused"].items() if count}

    running.ask(lambda _: running.switches.hear(link, [whole]))
    assert refused() == {"unknown-network": 1}
    running.ask(lambda _: running.switches.hear(link, [codec.message(codec.PACKET_IN, b"short")]))
    assert refused() == {"unknown-network": 1, "unreadable": 1}
    monkeypatch.setattr(running.switches.admission, "answer", lambda *_: oxm.FIELDS[-1:][1])
    running.ask(lambda _: running.switches.hear(link, [whole, whole]))
    assert refused() == {"unknown-network": 1, "unreadable": 1, "failed": 2}
