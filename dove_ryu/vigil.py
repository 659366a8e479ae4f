"""The vigil over dSwitches that have promised to tell others of endpoints that have left them (F22).

A dSwitch that an endpoint left sends on what still comes for it, and tells the senders that they are wrong.  That it has
confirmed this says no more than that it was alive then: it may die before anybody has sent, or before its datapath
follows its tables.  A dead host says no goodbye, and until its heartbeat is missed everybody who relied on it would send
to nobody.  So as long as a dSwitch holds tombstones it is asked for a sign of life at short intervals.  When none comes,
it is not to be relied on, and the DPS tells the others itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

PATIENCE = 0.3
"""Seconds that a dSwitch on which others rely may take to show that it lives."""

Later = Callable[[float, Callable[[], object]], None]
"""Lets something happen on the DPS's thread after some seconds."""


class Watched(Protocol):
    """What the vigil needs of a dSwitch's connection."""

    dpid: int
    received: int
    """Messages that have come over it; counted where they are read, so that they count while the DPS is busy."""

    def ask_sign(self) -> None:
        """Ask for a message of any kind."""


class Vigil:
    """The connections watched.  It lives on the DPS's thread.

    :ivar later: how to be remembered to look again; None where nobody can, and nobody is watched.
    """

    def __init__(self, relied_on: Callable[[int], bool], on_silence: Callable[[int], object]) -> None:
        """
        :param relied_on: whether others rely on the dSwitch of a datapath id.
        :param on_silence: is told of a dSwitch from which nothing came for :data:`PATIENCE` seconds.
        """
        self.later: Later | None = None
        self._relied_on = relied_on
        self._on_silence = on_silence
        self._watched: dict[int, Watched] = {}

    def watch(self, link: Watched) -> None:
        """Watch a dSwitch, if others rely on it, until they no longer do, or it is silent, or connects anew."""
        if self.later is not None and self._watched.get(link.dpid) is not link and self._relied_on(link.dpid):
            self._watched[link.dpid] = link
            self._ask(link, self.later)

    def _ask(self, link: Watched, later: Later) -> None:
        received = link.received  # before it is asked: the answer may be there at once
        link.ask_sign()
        later(PATIENCE, partial(self._look, link, received, later))

    def _look(self, link: Watched, received: int, later: Later) -> None:
        if self._watched.get(link.dpid) is not link:
            return
        relied_on = self._relied_on(link.dpid)
        if relied_on and link.received != received:
            self._ask(link, later)
            return
        del self._watched[link.dpid]
        if relied_on:
            self._on_silence(link.dpid)
