"""The DPS and a host's database, with the real ovsdb-server and ovs-vswitchd at the other end.

What an operator or a hypervisor does is done here with ovs-vsctl. What the DPS learns is what `on_view` and
`on_state` were told; what it did is read back. (F10, F11, F24, F26, X15.)
"""

import pytest

from dove_ryu.openflow.pipeline import POLICY
from dove_ryu.southbound.ovsdb import BoundInterface, HostState, HostView

from .ovs import PrivateOvs
from .ovsdb_host import DPID, Host, attach, init

# ---- the bridge is made a dSwitch ------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_bridge_is_made_a_dswitch(ovs: PrivateOvs, transport: str) -> None:
    init(ovs)
    with Host(getattr(ovs, transport), rate_limit=3000, burst_limit=700) as host:
        assert "br-dove" in host.until_state(HostState.CONNECTED)
        assert host.views == [HostView(DPID, "br-dove", ("192.0.2.1",), ("geneve", "vxlan"), ())]
        assert host.states[0] == (HostState.CONNECTING, f"to {getattr(ovs, transport)}")

    assert ovs.vsctl("get", "Bridge", "br-dove", "fail_mode", "other_config:disable-in-band") == 'secure\n"true"'
    assert limits(ovs) == ["3000,700", "3000,700"]
    for encap_type in ("geneve", "vxlan"):
        port = f"dove-{encap_type}"
        assert ovs.vsctl("port-to-br", port) == "br-dove"
        assert ovs.vsctl("get", "Interface", port, "type", "options") == f"{encap_type}\n{{key=flow, remote_ip=flow}}"
        assert ovs.ofport(port) > 0


def test_the_tables_bear_their_names(ovs: PrivateOvs) -> None:
    init(ovs)
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        ovs.vsctl("add", "Bridge", "br-dove", "protocols", "OpenFlow15")
        ovs.add_flows("br-dove", f"table={POLICY.number} actions=drop")
        assert "table=POLICY" in ovs.ofctl("--names", "dump-flows", "br-dove")


def test_what_is_right_is_left_alone(ovs: PrivateOvs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    init(ovs)
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
    assert "set at" in caplog.text
    caplog.clear()
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
    assert "set at" not in caplog.text


def test_what_somebody_changes_is_put_right(ovs: PrivateOvs) -> None:
    init(ovs)
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        ovs.vsctl(
            *("set", "Bridge", "br-dove", "fail_mode=standalone", "other_config:disable-in-band=false"),
            *("--", "set", "Interface", "dove-geneve", "options:remote_ip=192.0.2.9", "options:tos=inherit"),
            *("--", "del-port", "dove-vxlan"),
        )
        ovs.vsctl("wait-until", "Bridge", "br-dove", "fail_mode=secure", "other_config:disable-in-band=true")
        ovs.vsctl("wait-until", "Interface", "dove-vxlan", "options:remote_ip=flow")
        options = ovs.vsctl("get", "Interface", "dove-geneve", "options")
        assert options == "{key=flow, remote_ip=flow, tos=inherit}", "an operator's own option stays"


def test_tunnels_follow_the_types_listed(ovs: PrivateOvs) -> None:
    init(ovs, types="vxlan")
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        assert "dove-geneve" not in ovs.vsctl("list-ports", "br-dove")
        init(ovs, types="geneve")
        host.until(lambda: host.views[-1].encap_types == ("geneve",))
        ovs.vsctl("wait-until", "Interface", "dove-geneve", "ofport>0")
        assert ovs.vsctl("list-ports", "br-dove") == "dove-geneve"
        init(ovs, types="genève,vxlan")
        assert "'genève' is none of geneve, vxlan" in host.until_state(HostState.INCOMPLETE, "dove-encap-type")
        assert host.views[-1].encap_types == ("vxlan",)
        assert ovs.vsctl("list-ports", "br-dove").split() == ["dove-geneve", "dove-vxlan"], "a slip cuts nothing off"


def test_ipv6_tunnels_carry_checksums(ovs: PrivateOvs) -> None:
    init(ovs, ips="2001:DB8:0::1, 192.0.2.1")
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        assert host.views[-1].encap_ips == ("2001:db8::1", "192.0.2.1")
        assert ovs.vsctl("get", "Interface", "dove-vxlan", "options:csum") == '"true"'


# ---- interfaces are followed -----------------------------------------------------------------------


def test_interfaces_are_followed(ovs: PrivateOvs) -> None:
    init(ovs)
    with Host(ovs.unix) as host:
        ovs.add_port("br-dove", "unbound")
        first = attach(ovs, "tap1", "web/lb", attached_mac="02:AB:00:00:00:01")
        second = attach(ovs, "tap2", "web/db")
        assert host.until_bound("web/lb", "web/db").interfaces == (
            BoundInterface("tap1", first, "web/lb", "02:ab:00:00:00:01"),
            BoundInterface("tap2", second, "web/db", None),
        )
        ovs.vsctl("set", "Interface", "tap2", "external_ids:iface-id=web/app")
        host.until_bound("web/lb", "web/app")
        ovs.vsctl("del-port", "tap1")
        host.until_bound("web/app")
        ovs.vsctl("remove", "Interface", "tap2", "external_ids", "iface-id")
        host.until_bound()
        host.until_state(HostState.CONNECTED)


def test_a_view_is_told_only_when_it_changed(ovs: PrivateOvs) -> None:
    init(ovs)
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        ovs.add_port("br-dove", "unbound")
        ovs.vsctl("set", "Interface", "unbound", "external_ids:owner=someone")
        ovs.vsctl("set", "Bridge", "br-dove", "other_config:mac-table-size=4096")
        ovs.vsctl("set", "Interface", "unbound", "external_ids:iface-id=web/lb")
        host.until_bound("web/lb")
        assert [len(view.interfaces) for view in host.views] == [0, 1]


def test_two_dswitches_in_one_database_and_an_interface_that_moves(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_bridge("br-two", DPID + 1)
    with Host(ovs.unix) as one:
        one.until_state(HostState.CONNECTED)
        with Host(ovs.tcp, DPID + 1) as two:
            reason = two.until_state(HostState.INCOMPLETE)
            assert "Port dove-geneve: it belongs to bridge br-dove, so br-two has no geneve tunnels" in reason
            assert not two.views[-1].encap_types
            attach(ovs, "tap1", "web/lb")
            attach(ovs, "tap2", "web/db", "br-two")
            one.until_bound("web/lb")
            two.until_bound("web/db")
            ovs.vsctl("del-port", "tap1")
            attach(ovs, "tap1", "web/lb", "br-two")
            one.until_bound()
            two.until_bound("web/lb", "web/db")
            ovs.vsctl("del-br", "br-dove")
            two.until_state(HostState.CONNECTED)
            assert two.views[-1].encap_types == ("geneve", "vxlan"), "freed by the bridge that is gone"


def test_two_dswitches_that_start_at_once_do_not_fight(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_bridge("br-two", DPID + 1)
    with Host(ovs.unix) as one, Host(ovs.unix, DPID + 1) as two:
        settled = {HostState.CONNECTED, HostState.INCOMPLETE}
        one.until(lambda: bool(one.states) and one.states[-1][0] in settled and "refused" not in one.states[-1][1])
        two.until(lambda: bool(two.states) and two.states[-1][0] in settled and "refused" not in two.states[-1][1])
        holders = {ovs.vsctl("port-to-br", port) for port in ("dove-geneve", "dove-vxlan")}
        assert len(holders) == 1, "each bridge commits both ports or none"


# ---- what is missing or wrong is said, and the rest works -------------------------------------------


def test_a_bridge_that_is_not_there_yet_and_one_that_goes(ovs: PrivateOvs) -> None:
    ovs.add_bridge("br-other", 0x77)
    with Host(ovs.unix) as host:
        reason = host.until_state(HostState.WAITING, "br-other (0000000000000077)")
        assert "no bridge has the datapath id 000000000000d0e1" in reason
        assert "dove-dswitch init" in reason
        assert not host.views
        init(ovs)
        attach(ovs, "tap1", "web/lb")
        host.until_bound("web/lb")
        assert ovs.vsctl("get", "Bridge", "br-other", "other_config") == '{datapath-id="0000000000000077"}'
        ovs.vsctl("del-br", "br-dove")
        host.until_state(HostState.WAITING)
        assert host.views[-1].interfaces == ()


def test_two_bridges_with_one_datapath_id(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_bridge("br-twin", DPID)
    with Host(ovs.unix) as host:
        reason = host.until_state(HostState.WAITING)
        assert "bridges br-dove and br-twin share the datapath id 000000000000d0e1" in reason
        ovs.vsctl("set", "Bridge", "br-twin", "other_config:datapath-id=0000000000000078")
        host.until_state(HostState.CONNECTED)


def test_a_host_that_was_not_initialised_is_told_how(ovs: PrivateOvs) -> None:
    ovs.add_bridge("br-dove", DPID)
    attach(ovs, "tap1", "web/lb")
    with Host(ovs.unix) as host:
        reason = host.until_state(HostState.INCOMPLETE)
        for key in ("dove-encap-ip", "dove-encap-type"):
            assert f"Open_vSwitch: external_ids:{key} is missing; set it: dove-dswitch init --dps" in reason
        assert "--bridge br-dove" in reason
        assert host.until_bound("web/lb").encap_ips == ()
        init(ovs)
        host.until_state(HostState.CONNECTED)


def test_bad_values_are_named_and_the_rest_works(ovs: PrivateOvs) -> None:
    init(ovs, ips="192.0.2.300,192.0.2.1,224.0.0.1", types="stt,geneve")
    attach(ovs, "tap1", "web-lb")
    attach(ovs, "tap2", "web/db", attached_mac="02:00:00:00:00")
    attach(ovs, "tap3", "web/app")
    attach(ovs, "tap4", "web/app")
    attach(ovs, "tap5", "appliance/FW-1/one/in")
    attach(ovs, "tap6", "appliance/FW-1/one/ingress")
    ovs.add_port("br-dove", "nothere", kind="system", external_ids={"iface-id": "web/none"})
    with Host(ovs.unix) as host:
        host.until_bound("web/db", "web/app", "web/app", "appliance/FW-1/one/ingress", "web/none")
        reason = host.until_state(HostState.INCOMPLETE)
        for sentence in (
            "Open_vSwitch: external_ids:dove-encap-ip: '192.0.2.300' does not appear to be an IPv4",
            "external_ids:dove-encap-ip: '224.0.0.1' cannot be the end of a tunnel",
            "external_ids:dove-encap-type: 'stt' is none of geneve, vxlan",
            "Interface tap1: external_ids:iface-id 'web-lb' names no endpoint and no instance; correct it: dove",
            "Interface tap5: external_ids:iface-id 'appliance/FW-1/one/in' names no endpoint and no instance",
            "Interface tap2: external_ids:attached-mac '02:00:00:00:00' is not aa:bb:cc:dd:ee:ff",
            "Interface tap4: external_ids:iface-id 'web/app' is on tap3 too",
        ):
            assert sentence in reason
        view = host.views[-1]
        assert (view.encap_ips, view.encap_types) == (("192.0.2.1",), ("geneve",))
        assert view.interfaces[0].attached_mac is None


def test_a_port_that_cannot_be_opened_has_no_number(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_port("br-dove", "lame", kind="nosuchtype", external_ids={"iface-id": "web/lb"})
    with Host(ovs.unix) as host:
        host.until_state(HostState.INCOMPLETE, "Interface lame: Open vSwitch cannot open it: could not open")
        assert host.views[-1].interfaces == (BoundInterface("lame", None, "web/lb", None),)


def test_a_refused_change_is_said_and_tried_again(ovs: PrivateOvs) -> None:
    init(ovs)
    # Interface names are unique in a database, and this one hides in a port of another name.
    ovs.vsctl("add-bond", "br-dove", "bond0", "dove-geneve", "other")
    with Host(ovs.unix) as host:
        host.until_state(HostState.INCOMPLETE, "the change was refused", "constraint violation", "dove-geneve")
        ovs.vsctl("del-port", "bond0")
        host.until_state(HostState.CONNECTED)


def limits(ovs: PrivateOvs) -> list[str]:
    """Rate and burst of each controller."""
    columns = "--columns=controller_rate_limit,controller_burst_limit"
    return ovs.vsctl("--format=csv", "--no-headings", columns, "list", "Controller").splitlines()


def test_no_limit_is_taken_away_where_there_was_one(ovs: PrivateOvs) -> None:
    init(ovs)
    with Host(ovs.unix, rate_limit=3000, burst_limit=700) as host:
        host.until_state(HostState.CONNECTED)
    with Host(ovs.unix, rate_limit=0, burst_limit=700) as host:
        host.until_state(HostState.CONNECTED)
    assert limits(ovs) == ["[],[]", "[],[]"]


def test_limits_that_open_vswitch_does_not_take() -> None:
    with pytest.raises(ValueError, match="no rate below 100"):
        Host("unix:/nonexistent", rate_limit=99)
