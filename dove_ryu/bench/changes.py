"""``python -m dove_ryu.bench.changes``: a blueprint that is changed over REST, so many times a second.

Each change gives a policy another time-out: the whole of its network's blueprint is checked, committed and applied, and
the dSwitches that host the network are told to forget what they cached of it, and asked to confirm.  It runs beside a
load until it is told to end, and then says how it went.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import statistics
import sys
import threading
import time
from urllib.parse import quote

from dove_ryu.bench.world import CHANGED_POLICY, CHANGING

_PATH = f"/v1/networks/{CHANGING}/policies/{quote(CHANGED_POLICY)}"


class Changer:
    """Makes changes one after another over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._ttl = 0
        self.seconds: list[float] = []

    def change(self) -> None:
        """One change, from the request to the answer that says it is done.

        :raises RuntimeError: where the DPS refuses it.
        """
        self._ttl = self._ttl % 60_000 + 1
        body = json.dumps({"actions": ["accept"], "ttl": self._ttl})
        began = time.monotonic()
        self._connection.request("PUT", _PATH, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"the DPS refuses a change of {_PATH}: {answer.status} {said.decode()}")
        self.seconds.append(time.monotonic() - began)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dove_ryu.bench.changes", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the DPS's REST interface (default: 8080)")
    parser.add_argument("--rate", type=float, default=50, help="changes a second (default: 50)")
    said = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    changer, began = Changer(said.port), time.monotonic()
    while not ended.wait(max(0.0, began + len(changer.seconds) / said.rate - time.monotonic())):
        changer.change()
    passed = time.monotonic() - began
    figures = {
        "changes": len(changer.seconds),
        "changes_per_second": len(changer.seconds) / passed,
        "median_ms": statistics.median(changer.seconds) * 1e3,
        "max_ms": max(changer.seconds) * 1e3,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
