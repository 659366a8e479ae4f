"""What one endpoint may ask the DPS: a meter at its port (X3)."""

from dove_ryu.features.limit import Limit

from .small import (
    A_HERE,
    B_HERE,
    B_THERE,
    EVERYTHING,
    HERE,
    NETWORK,
    RED,
    A,
    B,
    at,
    golden,
    standing,
    world_of,
)

LIMIT = Limit()


def test_every_endpoint_here_has_a_meter() -> None:
    assert standing(LIMIT, *EVERYTHING) == golden(
        """
        ENDPOINT:21/0, table=LIMIT, priority=100,in_port=1 actions=meter:17
        ENDPOINT:22/0, table=LIMIT, priority=100,in_port=2 actions=meter:18
        """
    )


def test_who_is_not_here_or_has_no_port_has_none() -> None:
    assert standing(LIMIT, NETWORK, RED, A, A_HERE, B, B_THERE, ports={"tap-b": 2}) == []
    assert len(standing(LIMIT, NETWORK, RED, A, A_HERE, B, B_HERE, ports={"tap-b": 2})) == 1


def test_a_dswitch_that_can_have_no_meters_has_no_flow_that_names_one() -> None:
    world = world_of(*EVERYTHING)
    world.unmetered.add(HERE)
    assert at(LIMIT, world) == []
