"""`dove-dswitch` against a real Open vSwitch: what it makes, that it may be repeated, and how it refuses."""

import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulation import CommandError, Emulation, Hypervisor
from hypervisor import DOVE_DSWITCH

DPS = "tcp:10.0.0.100:6653"
INIT = ("init", "--dps", DPS, "--datapath-type", "netdev", "--encap-ip")


@pytest.fixture(scope="module")
def net() -> Iterator[Emulation]:
    with Emulation() as emulation:
        yield emulation


@pytest.fixture(scope="module")
def bare(net: Emulation) -> Hypervisor:
    """A host with Open vSwitch and a NIC that could be an endpoint's, but no dSwitch."""
    server = net.add_server("bare", "10.0.0.2/24")
    server.start_database()
    server.start_switch()
    server.run("ip", "tuntap", "add", "tap0", "mode", "tap")
    return server


@pytest.fixture
def host(bare: Hypervisor) -> Iterator[Hypervisor]:
    yield bare
    bare.dswitch("destroy")


def column(host: Hypervisor, table: str, record: str, name: str) -> str:
    return host.vsctl("--if-exists", "get", table, record, name).strip()


def everything(host: Hypervisor) -> dict[str, list[str]]:
    """The rows that dove-dswitch writes, without what ovs-vswitchd reports and without the rows' own ids."""
    columns = {
        "Bridge": "name,fail_mode,other_config,protocols,datapath_type",
        "Controller": "target,controller_rate_limit,controller_burst_limit",
        "Manager": "target",
        "Interface": "name,type,options,external_ids",
        "Open_vSwitch": "external_ids",
    }
    return {
        table: sorted(host.vsctl("--format=csv", "--no-headings", f"--columns={names}", "list", table).splitlines())
        for table, names in columns.items()
    }


def test_init_makes_the_dswitch_that_the_dps_expects(host: Hypervisor) -> None:
    """F10, F23: the settings of design and protocol, in one go."""
    host.dswitch(*INIT, "10.0.0.2,fd00::2", "--dpid", "0xd05e", "--encap-type", "vxlan,geneve")
    bridge = "br-dove"
    assert column(host, "Bridge", bridge, "fail_mode") == "secure"
    assert column(host, "Bridge", bridge, "other_config") == (
        '{datapath-id="000000000000d05e", disable-in-band="true"}'
    )
    assert column(host, "Bridge", bridge, "protocols") == "[OpenFlow13, OpenFlow14, OpenFlow15]"
    assert column(host, "Bridge", bridge, "datapath_id") == '"000000000000d05e"'
    controller = column(host, "Bridge", bridge, "controller").strip("[]")
    assert column(host, "Controller", controller, "target") == f'"{DPS}"'
    assert column(host, "Controller", controller, "controller_rate_limit") == "20000"
    ids = column(host, "Open_vSwitch", ".", "external_ids")
    for pair in ("dove-bridge=br-dove", 'dove-encap-ip="10.0.0.2,fd00::2"', 'dove-encap-type="vxlan,geneve"'):
        assert pair in ids
    assert host.vsctl("get-manager").split() == ["ptcp:6640"]
    assert host.vsctl("list-ports", bridge) == "", "the DPS makes the tunnel ports"


def test_init_may_be_repeated(host: Hypervisor) -> None:
    command = (*INIT, "10.0.0.2", "--ovsdb", "none")
    host.dswitch(*command)
    first, dpid = everything(host), column(host, "Bridge", "br-dove", "datapath_id")
    host.dswitch(*command)
    assert everything(host) == first
    assert column(host, "Bridge", "br-dove", "datapath_id") == dpid


def test_init_keeps_a_connection_that_stays_wanted(host: Hypervisor) -> None:
    """A DPS that is added must not cost the connection to the one that was there."""
    with host.inside():
        listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        listener.settimeout(5)
        first = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        host.dswitch("init", "--dps", first, "--encap-ip", "10.0.0.2", "--datapath-type", "netdev")
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b"\x06", "a hello that offers OpenFlow 1.5"
            host.dswitch("init", "--dps", f"{DPS},{first}", "--encap-ip", "10.0.0.2")
            connection.setblocking(False)
            connection.recv(100)
            with pytest.raises(BlockingIOError):
                connection.recv(1)


def test_several_dps_and_a_change_of_them(host: Hypervisor) -> None:
    """F28, F29: the list is the whole list."""
    host.dswitch("init", "--dps", "tcp:10.0.0.100:6653,tcp:[fd00::100]:6653", "--encap-ip", "10.0.0.2")
    assert sorted(host.vsctl("get-controller", "br-dove").split()) == [
        "tcp:10.0.0.100:6653",
        "tcp:[fd00::100]:6653",
    ]
    host.dswitch("init", "--dps", "ssl:10.0.0.101", "--encap-ip", "10.0.0.2")
    assert host.vsctl("get-controller", "br-dove").split() == ["ssl:10.0.0.101"]


def test_tunnel_ports_where_the_dps_cannot_reach_the_database(host: Hypervisor) -> None:
    host.dswitch(*INIT, "10.0.0.2,fd00::2", "--ovsdb", "none")
    for kind in ("geneve", "vxlan"):
        assert column(host, "Interface", f"dove-{kind}", "type") == kind
        assert column(host, "Interface", f"dove-{kind}", "options") == '{csum="true", key=flow, remote_ip=flow}'
        assert int(column(host, "Interface", f"dove-{kind}", "ofport")) > 0
    assert host.vsctl("get-manager") == ""
    host.dswitch(*INIT, "10.0.0.2", "--ovsdb", "none", "--encap-type", "geneve")
    assert host.vsctl("list-ports", "br-dove").split() == ["dove-geneve"]


def test_the_managers_of_others_stay(host: Hypervisor) -> None:
    host.vsctl("set-manager", "ptcp:6650:127.0.0.1")
    try:
        host.dswitch(*INIT, "10.0.0.2")
        assert sorted(host.vsctl("get-manager").split()) == ["ptcp:6640", "ptcp:6650:127.0.0.1"]
        host.dswitch(*INIT, "10.0.0.2", "--ovsdb", "ptcp:6641")
        assert sorted(host.vsctl("get-manager").split()) == ["ptcp:6641", "ptcp:6650:127.0.0.1"]
        host.dswitch("destroy")
        assert host.vsctl("get-manager").split() == ["ptcp:6650:127.0.0.1"]
    finally:
        host.vsctl("del-manager")


def test_attach_binds_and_detach_releases(host: Hypervisor) -> None:
    """F24, X15: iface-id as libvirt, Nova and OVN write it."""
    host.dswitch(*INIT, "10.0.0.2")
    attach = ("attach", "tap0", "--endpoint", "web/ws1", "--mac", "02:00:00:00:00:0A")
    for _ in range(2):
        host.dswitch(*attach)
        assert column(host, "Interface", "tap0", "external_ids") == (
            '{attached-mac="02:00:00:00:00:0a", iface-id="web/ws1"}'
        )
    host.dswitch("attach", "tap0", "--endpoint", "web/ws2")
    assert column(host, "Interface", "tap0", "external_ids") == '{iface-id="web/ws2"}', "the MAC was another's"
    host.dswitch("attach", "tap0", "--instance", "FW-1/one/egress")
    assert column(host, "Interface", "tap0", "external_ids") == '{iface-id="appliance/FW-1/one/egress"}'
    assert "  appliance/FW-1/one/egress" in host.dswitch("show")
    for _ in range(2):
        host.dswitch("detach", "tap0")
        assert host.vsctl("list-ports", "br-dove") == ""
    host.run("ip", "link", "show", "tap0")


def test_attach_refuses_what_cannot_work(host: Hypervisor) -> None:
    host.dswitch(*INIT, "10.0.0.2")
    with pytest.raises(CommandError, match=r"could not open network device tap9 .*dove-dswitch detach tap9"):
        host.dswitch("attach", "tap9", "--endpoint", "web/ws1")
    with pytest.raises(CommandError, match="no bridge named br-none"):
        host.dswitch("attach", "tap0", "--endpoint", "web/ws1", "--bridge", "br-none")


def test_destroy_takes_all_away_and_may_be_repeated(host: Hypervisor) -> None:
    before = everything(host)
    host.dswitch(*INIT, "10.0.0.2", "--ovsdb", "none")
    host.dswitch(*INIT, "10.0.0.2")
    host.dswitch("attach", "tap0", "--endpoint", "web/ws1")
    for _ in range(2):
        host.dswitch("destroy")
        assert everything(host) == before
    assert "br-dove" not in host.run("ip", "-br", "link"), "the bridge's own device goes with it"


def test_show_tells_what_there_is(host: Hypervisor) -> None:
    """F26."""
    with pytest.raises(CommandError, match="no bridge br-dove: make it with dove-dswitch init"):
        host.dswitch("show")
    host.dswitch(*INIT, "10.0.0.2", "--ovsdb", "none", "--dpid", "2")
    host.dswitch("attach", "tap0", "--endpoint", "web/ws1", "--mac", "02:00:00:00:00:0a")
    shown = host.dswitch("show")
    assert "dSwitch br-dove  dpid 0000000000000002  datapath netdev" in shown
    assert "geneve,vxlan at 10.0.0.2" in shown
    assert f"{DPS}  not connected" in shown
    assert "tap0             endpoint web/ws1  02:00:00:00:00:0a" in shown
    assert "dove-geneve      geneve, no endpoint" in shown


def test_dump_and_explain_read_the_flows(host: Hypervisor) -> None:
    host.dswitch(*INIT, "10.0.0.2", "--ovsdb", "none")
    host.dswitch("attach", "tap0", "--endpoint", "web/ws1", "--mac", "02:00:00:00:00:0a")
    host.ofctl("add-flow", "in_port=tap0,actions=resubmit(,7)")
    host.ofctl("add-flow", "table=7,priority=10,ip,nw_dst=9.2.10.34,actions=drop")
    host.ofctl("add-flow", "table=7,priority=1,actions=output:tap0")
    assert host.dswitch("dump") == (
        "table 0 (1 flow)\n  in_port=tap0 actions=resubmit(,7)\n"
        "table 7 (2 flows)\n"
        "  priority=10,ip,nw_dst=9.2.10.34 actions=drop\n  priority=1 actions=output:tap0\n"
    )
    host.vsctl("--id=@t", "create", "Flow_Table", "name=POLICY", "--", "set", "Bridge", "br-dove", "flow_tables:7=@t")
    assert host.dswitch("dump", "--table", "POLICY").startswith("table POLICY (2 flows)\n")
    assert "n_packets=0" in host.dswitch("dump", "--stats")
    for source in ("tap0", "web/ws1"):
        explained = host.dswitch("explain", source, "ip,nw_dst=9.2.10.34")
        assert "dl_src=02:00:00:00:00:0a" in explained
        assert "Datapath actions: drop" in explained
    with pytest.raises(CommandError, match="no port or endpoint web/ws9 on br-dove"):
        host.dswitch("explain", "web/ws9", "ip")


def test_refused_tells_who_asked_too_much(host: Hypervisor) -> None:
    """X3: endpoints by their names, kinds of packets in words, and what is neither by its number."""
    host.dswitch(*INIT, "10.0.0.2")
    host.vsctl("add-port", "br-dove", "e1", "--", "set", "Interface", "e1", "type=internal", "ofport_request=3")
    host.vsctl("set", "Interface", "e1", "external_ids:iface-id=shop/e1")
    for meter in (1, 7, 19, 25):
        host.ofctl("add-meter", f"meter={meter} pktps burst bands=type=drop rate=10 burst_size=10")
    host.ofctl("add-flow", "priority=1 actions=meter:19")
    for _ in range(3):
        host.ofctl("packet-out", "in_port=LOCAL packet=" + "00" * 14 + " actions=table")
    lines = [line.split(maxsplit=2) for line in host.dswitch("refused").splitlines()]
    assert lines == [
        ["ASKED", "REFUSED", "BY"],
        ["0", "0", "location invalidations"],
        ["0", "0", "meter 7"],
        ["3", "0", "shop/e1"],
        ["0", "0", "port 9"],
    ]


def test_a_dry_run_prints_one_transaction_and_changes_nothing(host: Hypervisor) -> None:
    before = everything(host)
    line = host.dswitch(*INIT, "10.0.0.2", "--dry-run")
    assert line.count("\n") == 1
    assert everything(host) == before
    host.run(*shlex.split(line))
    host.vsctl("get", "Bridge", "br-dove", "fail_mode")


def run_without_ovs(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """On a host where no Open vSwitch runs."""
    environment = {**os.environ, "OVS_RUNDIR": str(tmp_path)}
    return subprocess.run([DOVE_DSWITCH, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_a_dry_run_needs_no_running_open_vswitch(tmp_path: Path) -> None:
    done = run_without_ovs(tmp_path, *INIT, "10.0.0.2", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.startswith("ovs-vsctl ")


def test_without_open_vswitch_it_says_so_in_one_line(tmp_path: Path) -> None:
    done = run_without_ovs(tmp_path, "show")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "database connection failed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("init", "--encap-ip", "10.0.0.2", "--dps", "10.0.0.100"),
            "'10.0.0.100' is no target; say tcp:IP:6653",
        ),
        (
            ("init", "--dps", DPS, "--encap-ip", "10.0.0"),
            "'10.0.0' does not appear to be an IPv4 or IPv6 address",
        ),
        (("init", "--dps", DPS, "--encap-ip", "10.0.0.2,10.0.0.3"), "one address of each IP version at most"),
        (("init", "--dps", DPS, "--encap-ip", "10.0.0.2", "--encap-type", "gre"), "no tunnel type 'gre'"),
        (("init", "--dps", DPS, "--encap-ip", "10.0.0.2", "--dpid", "dove"), "'dove' is no datapath id"),
        (("init", "--dps", DPS, "--encap-ip", "10.0.0.2", "--ovsdb", "6640"), "'6640' is no OVSDB target"),
        (("attach", "tap0", "--endpoint", "ws1"), "'ws1' names no endpoint; say NETWORK/NAME"),
        (("attach", "tap0", "--endpoint", "web/ws1", "--mac", "02:00"), "'02:00' is no MAC address"),
        (("attach", "tap0", "--instance", "FW-1/one/in"), "'FW-1/one/in' names no instance; say APPLIANCE/NAME"),
        (("attach", "tap0", "--instance", "FW-1/one", "--endpoint", "web/ws1"), "not allowed with argument --instance"),
        (("attach", "tap0"), "one of the arguments --endpoint --instance is required"),
    ],
)
def test_wrong_usage_is_refused_with_the_right_form(arguments: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    done = run_without_ovs(tmp_path, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
