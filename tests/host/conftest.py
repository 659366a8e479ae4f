"""Data centers for the tests of this tier: real packets between namespaces on this machine.

The tier needs root, Open vSwitch and a few tools. Where one is missing the tests fail, with the command that
installs it: a tier that skips itself proves nothing. What a killed run left behind is swept before the first
test.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from emulation import Emulation, Hypervisor, Underlay, sweep

#: Each tool with Debian's package for it.
TOOLS = {
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-common",
    "mnexec": "mininet",
    "ip": "iproute2",
    "nft": "nftables",
    "ifconfig": "net-tools",
    "ping": "iputils-ping",
    "tcpdump": "tcpdump",
    "iperf3": "iperf3",
    "cc": "gcc",
}


@pytest.fixture(scope="session", autouse=True)
def fit_machine() -> None:
    """Root, the tools, and nothing left of runs whose owner is dead."""
    if os.geteuid() != 0:
        pytest.fail("these tests make network namespaces: run them as root (sudo make test)", pytrace=False)
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        pytest.fail(f"missing here: apt-get install --yes {' '.join(missing)}", pytrace=False)
    sweep()


@pytest.fixture
def net() -> Iterator[Emulation]:
    """An empty data center of this test's own."""
    with Emulation() as emulation:
        yield emulation


@pytest.fixture
def underlay(net: Emulation) -> Underlay:
    return net.underlay


@pytest.fixture
def servers(net: Emulation) -> Callable[..., Sequence[Hypervisor]]:
    """servers(n, **options): n started servers s1, s2, ... at 10.0.0.2, 10.0.0.3, ... and the same in
    fd00::/64; `options` are those of Emulation.add_server."""

    def start(count: int, **options: Any) -> Sequence[Hypervisor]:
        for number in range(1, count + 1):
            net.add_server(f"s{number}", f"10.0.0.{number + 1}/24", f"fd00::{number + 1:x}/64", **options)
        net.start()
        return net.switches

    return start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test shows what the DPS and the dSwitches of its data center have logged."""
    report = yield
    emulation = getattr(item, "funcargs", {}).get("net")
    if report.when == "call" and report.failed and isinstance(emulation, Emulation):
        for node in (*emulation.controllers, *emulation.switches):
            report.sections.append((f"the end of the log of {node.name}", node.log[-4000:]))
    return report
