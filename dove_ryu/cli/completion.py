"""What the shell completes: names, asked from the DPS; nothing at all when it cannot be asked quickly."""

from __future__ import annotations

import click

from dove_ryu.cli.client import Client
from dove_ryu.cli.errors import Failure
from dove_ryu.cli.kinds import BLUEPRINTS, DSWITCHES, ENDPOINTS, KINDS, NETWORKS, POLICIES, Kind

PATIENCE = 1.0
"""Seconds; someone has pressed a key and waits."""


def kinds(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The kinds in the plural."""
    return [kind.plural for kind in KINDS if kind.plural.startswith(incomplete)]


def networks(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The networks' names."""
    return _names(context, NETWORKS, incomplete)


def endpoints(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of the endpoints of the network that ``-n`` has said already."""
    return _names(context, ENDPOINTS, incomplete)


def dswitches(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The datapath ids of the dSwitches."""
    return _names(context, DSWITCHES, incomplete)


def names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of the kind that has been said already.

    A policy's has a ``>`` in it, which a shell would take for itself if it were put there as it is.
    """
    kind = context.params.get("kind")
    return _names(context, kind, incomplete) if kind is not None and kind is not POLICIES else []


def _names(context: click.Context, kind: Kind, incomplete: str) -> list[str]:
    kind = NETWORKS if kind is BLUEPRINTS else kind
    key = "dpid" if kind is DSWITCHES else "name"
    try:
        with Client(context.find_root().params["url"], PATIENCE) as client:
            found = [str(each[key]) for each in client.get(*kind.path(context.params.get("network")))]
    except Failure:
        return []
    return sorted(name for name in found if name.startswith(incomplete))
