"""What is drawn rather than listed: changes, differences, a packet's way, the state of the DPS."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, repeat
from typing import Any

from dove_ryu.cli import screen
from dove_ryu.cli.kinds import KINDS
from dove_ryu.cli.tables import text

Change = Mapping[str, Any]
"""A change as REST tells it: ``sign`` is ``+``, ``-`` or ``~``, ``path`` names the object and, for ``~``, the field;
``old`` and ``new`` are what it was and will be."""

_SIGNS = {"+": screen.GOOD, "-": screen.BAD, "~": screen.WAITING}
_SINGULAR = {kind.plural: kind.singular for kind in KINDS} | {"gateways": "gateway", "instances": "instance"}


def changes(title: str, changed: Sequence[Change], progress: str, dry_run: bool) -> None:
    """Draw what an ``apply`` has changed, or would change: a line for each change."""
    count = f"{len(changed)} change{'s' * (len(changed) != 1)}" if changed else "no change"
    said = f"{count}, not made: this is a dry run" if changed and dry_run else count
    screen.say(f"{title}: {said}" + (f" ({progress})" if progress else ""))
    for change in changed:
        was_and_is = f" {text(change['old'], 'none')} -> {text(change['new'], 'none')}" if change["sign"] == "~" else ""
        screen.say(f"  {change['sign']} {_called(change['path'])}{was_and_is}", _SIGNS[change["sign"]])


def differences(title: str, source: str, changed: Sequence[Change]) -> None:
    """Draw in what an object differs from the document in a file, field by field, in the manner of ``diff -u``."""
    if not changed:
        return
    screen.say(f"--- {title}", "bold")
    screen.say(f"+++ {source}", "bold")
    for (sign, called), members in groupby(changed, _object):
        screen.say(f"{sign} {called}", _SIGNS[sign])
        for change in members:
            _sides(change)


def _object(change: Change) -> tuple[str, str]:
    """The sign and the object of a change; changes of fields say the field behind their object."""
    sign, path = change["sign"], str(change["path"])
    return sign, _called(path.rpartition(" ")[0] if sign == "~" else path)


def _sides(change: Change) -> None:
    """The fields of a change, those that were and those that will be."""
    field = str(change["path"]).rpartition(" ")[2]
    for sign, side in (("-", change["old"]), ("+", change["new"])):
        if change["sign"] == "~":
            screen.say(f"{sign}   {field}: {text(side, 'none')}", _SIGNS[sign])
        elif isinstance(side, Mapping):
            for name, value in side.items():
                if name != "name" and value not in (None, "", []):
                    screen.say(f"{sign}   {name}: {text(value)}", _SIGNS[sign])


def _called(path: str) -> str:
    """``endpoints web1`` as people say it."""
    kind, _, name = path.partition(" ")
    return f"{_SINGULAR.get(kind, kind)} {name}"


def trace(source: str, destination: str, answer: Mapping[str, Any]) -> None:
    """Draw what happens to a packet: the decision, the policy, the path hop by hop, the reason.

    Of a packet that does not arrive the path ends where it does, and where it was meant to go is said apart.
    """
    style, outcome = _outcome(answer)
    screen.say(f"{outcome}: {source} -> {destination} in network {answer['network']}", f"bold {style}")
    screen.say()
    rows = [("policy", _policy(answer["policy"]))]
    rows += zip(chain(["path"], repeat("")), _path(destination, answer), strict=False)
    if answer["destination"] is not None and not answer["delivered"]:
        rows.append(("towards", ", ".join(_hops(answer["destination"]))))
    rows.append(("reason", answer["reason"]))
    if "live" in answer:
        rows += zip(chain(["live"], repeat("")), _sightings(answer["live"]), strict=False)
    for line in screen.columns(rows):
        screen.say(f"  {line}")


def _sightings(live: Mapping[str, Any]) -> Iterator[str]:
    """Where a packet was seen that has been sent, and what became of it."""
    yield "a ping was sent from the source's port" if live["sent"] else "nothing was sent"
    for seen in live["seen"]:
        if seen["packets"]:
            at = f" {seen['appliance']} (hop {seen['hop']})" if seen["hop"] else ""
            yield f"  | {seen['point']}{at}, at dSwitch {seen['dswitch']}"
    yield str(live["reason"])


def _outcome(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The decision in a style and in words; a packet may be allowed and still have no way."""
    if answer["delivered"]:
        return screen.GOOD, str(answer["decision"])
    if answer["decision"] == "allowed":
        return screen.WAITING, "allowed, but not delivered"
    return screen.BAD, str(answer["decision"])


def _policy(policy: Mapping[str, Any] | None) -> str:
    if policy is None:
        return "none is asked"
    kept = f"cached for {policy['ttl']} s" if policy["ttl"] else "cached until invalidated"
    return f"{policy['name']}, tracking {policy['tracking']}: {', '.join(policy['actions'])}; {kept}"


def _path(destination: str, answer: Mapping[str, Any]) -> Iterator[str]:
    """The hops, one below the other, with what leads from each to the next."""
    here, there = answer["source"], answer["destination"]
    if here is None:
        return
    first, *further = _hops(here)
    yield first
    yield from (f"  | {hop}" for hop in further)
    if not answer["delivered"]:
        yield "  x goes no further"
        return
    for hop in answer["path"]:
        yield from (f"  | {line}" for line in _appliance(hop))
    tunnel = answer["tunnel"]
    if tunnel is not None:
        yield f"  | {tunnel['type']} to {tunnel['remote_ip']}, VNI {tunnel['vni']}"
    if there is None:
        yield destination
        return
    last, port, dswitch = _hops(there)
    if answer["delivery"] != "local":
        yield f"  | {dswitch}"
    yield f"  | {port}"
    yield last


def _appliance(hop: Mapping[str, Any]) -> Iterator[str]:
    """How a packet gets to an appliance, and what it meets there."""
    tunnel = hop["tunnel"]
    if tunnel is not None:
        yield f"{tunnel['type']} to {tunnel['remote_ip']}, label {tunnel['label']}"
    tag = "no tag" if hop["vlan"] is None else f"VLAN {hop['vlan']}"
    copied = "a copy to " if hop["tap"] else ""
    yield f"{hop['action']}: {copied}{hop['appliance']}{_instance(hop)}, {tag}"


def _instance(hop: Mapping[str, Any]) -> str:
    """Which instance it is, or may be."""
    if hop["left_out"]:
        return " left out, it fails open"
    older = f" (older connections: {', '.join(hop['drained'])})" if hop["drained"] else ""
    if hop["instance"] is None:
        return f"/{'|'.join(hop['candidates']) or 'none works'} by connection{older}"
    return f"/{hop['instance']} at dSwitch {hop['dswitch']}{older}"


def _hops(end: Mapping[str, Any]) -> list[str]:
    """An endpoint, and if it is attached its port and its dSwitch, from the endpoint inwards."""
    endpoint = f"{end['endpoint']} ({end['domain']})"
    dswitch = end["dswitch"]
    if dswitch is None:
        return [f"{endpoint} attached to no dSwitch"]
    name = f" {dswitch['name']}" if dswitch["name"] else ""
    connected = "" if dswitch["connected"] else " not connected"
    onward = _onward(end["location"])
    return [endpoint, f"port {end['location']['port']}{onward}", f"dSwitch {dswitch['dpid']}{name}{connected}"]


_DIFFERENCES = {"missing": screen.BAD, "foreign": screen.BAD}
"""The style of a difference where it is not that of what is merely out of date."""


def audit(answer: Mapping[str, Any]) -> None:
    """Draw what differs at a dSwitch: a line for each reason, the flow below it."""
    dpid, repaired, findings = answer["dpid"], answer["repaired"], answer["findings"]
    if repaired:
        screen.say(f"dSwitch {dpid}: {_differences(repaired)}, repaired", screen.WAITING)
        _findings(repaired)
    if findings:
        screen.say(f"dSwitch {dpid}: {_differences(findings)}", screen.BAD)
        _findings(findings)
    else:
        screen.say(f"dSwitch {dpid}: as it should be", screen.GOOD)


def _differences(findings: Sequence[Any]) -> str:
    return f"{len(findings)} difference{'s' * (len(findings) != 1)}"


def _findings(findings: Sequence[Mapping[str, Any]]) -> None:
    for finding in findings:
        difference = finding["difference"]
        screen.say(f"  {difference:8} {finding['why']}", _DIFFERENCES.get(difference, screen.WAITING))
        screen.say(f"           {finding['flow']}")


def location(endpoint: str, answer: Mapping[str, Any]) -> None:
    """Draw where an endpoint is, and where a live migration takes it."""
    screen.say(f"endpoint '{endpoint}' is at {_place(answer)}{_onward(answer)}")


def _onward(answer: Mapping[str, Any]) -> str:
    target = answer["migrating_to"]
    return "" if target is None else f", migrating to {_place(target)}"


def _place(answer: Mapping[str, Any]) -> str:
    port = f"port {answer['port']}" if answer["port"] else "a port"
    return f"{port} of dSwitch {answer['dswitch']}"


def status(url: str, answer: Mapping[str, Any]) -> None:
    """Draw the state of the DPS in a few lines."""
    ready = answer["ready"]
    since = str(dt.timedelta(seconds=int(answer["uptime"])))
    dswitches, requests, lane = answer["dswitches"], answer["policy_requests"], answer["lane"]
    screen.say(f"DPS at {url}: {'ready' if ready else 'not ready'}", f"bold {screen.GOOD if ready else screen.BAD}")
    rows = [
        ("version", f"{answer['version']}, up {since}, at revision {answer['revision']}"),
        ("networks", f"{answer['networks']}"),
        ("endpoints", f"{answer['endpoints']}, {answer['attached']} of them attached"),
        ("dSwitches", f"{dswitches['known']}, {dswitches['connected']} of them connected, {dswitches['live']} live"),
        *([("instances", _counts(instances))] if (instances := _happened(answer["instances"])) else []),
        ("policy requests", f"{_counts(requests)}; {answer['outstanding']} outstanding"),
        *([("refused", _counts(refused))] if (refused := _happened(answer["refused"])) else []),
        ("fast lane", f"{lane['form']}: {lane['answered']} answered, {lane['left']} left to the plain way"),
        ("caches", f"{answer['invalidations']} locations invalidated, {answer['refreshed']} entries refreshed"),
        ("flow changes", f"{answer['flow_changes']} sent, {_lag(answer['lag'])}"),
    ]
    for line in screen.columns(rows):
        screen.say(f"  {line}")


def _happened(counts: Mapping[str, int]) -> dict[str, int]:
    return {what: count for what, count in counts.items() if count}


def _counts(requests: Mapping[str, int]) -> str:
    return ", ".join(f"{outcome} {count}" for outcome, count in requests.items())


def _lag(revisions: int) -> str:
    if not revisions:
        return "all confirmed"
    return f"not all confirmed: the slowest dSwitch is {revisions} revision{'s' * (revisions != 1)} behind"
