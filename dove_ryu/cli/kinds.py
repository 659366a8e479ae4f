"""The kinds of object that ``get`` and ``delete`` know, by all the names that people call them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from dove_ryu.cli.errors import BadArgument


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object.

    :ivar plural: as in URLs.
    :ivar others: the singular first, then what is short to type.
    :ivar within_network: whether ``-n`` must say in which network.
    """

    plural: str
    others: tuple[str, ...]
    within_network: bool = True

    @property
    def singular(self) -> str:
        """As in messages."""
        return self.others[0]

    def path(self, network: str | None, *name: str) -> tuple[str, ...]:
        """Where they are, or one of them, in REST.

        :raises BadArgument: when *network* is missing.
        """
        if self is BLUEPRINTS:
            if not name:
                raise BadArgument("a blueprint is a network's; say which one: `dove get blueprint NET`")
            return ("networks", *name, self.singular)
        if not self.within_network:
            return (self.plural, *name)
        if network is None:
            raise BadArgument(f"{self.plural} are within a network; say which one with -n NET")
        return ("networks", network, self.plural, *name)


NETWORKS = Kind("networks", ("network", "net", "nets"), within_network=False)
BLUEPRINTS = Kind("blueprints", ("blueprint", "bp"), within_network=False)
DSWITCHES = Kind("dswitches", ("dSwitch", "dswitch", "dsw", "ds"), within_network=False)
APPLIANCES = Kind("appliances", ("appliance", "appl"), within_network=False)
DOMAINS = Kind("domains", ("domain", "dom"))
ACTIONS = Kind("actions", ("action", "act"))
POLICIES = Kind("policies", ("policy", "pol"))
ENDPOINTS = Kind("endpoints", ("endpoint", "ep", "eps"))

KINDS = (NETWORKS, DOMAINS, ACTIONS, POLICIES, ENDPOINTS, DSWITCHES, APPLIANCES, BLUEPRINTS)
_BY_NAME = {name.lower(): kind for kind in KINDS for name in (kind.plural, *kind.others)}


def kind_called(name: str) -> Kind:
    """The kind of any of its names, in any case of letters.

    :raises BadArgument: when there is none.
    """
    kind = _BY_NAME.get(name.lower())
    if kind is None:
        near = difflib.get_close_matches(name.lower(), _BY_NAME, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(each.plural for each in KINDS)}"
        raise BadArgument(f"no kind '{name}'; {hint}")
    return kind
