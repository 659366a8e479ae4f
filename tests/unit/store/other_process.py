"""Another process on the same file: `other_process.py FILE count N` or `other_process.py FILE write SEED`."""

import random
import sys
from itertools import count
from pathlib import Path

from dove_ryu.store import Conflict
from dove_ryu.store.sqlite import SqliteStore


def count_up(path: Path, times: int) -> None:
    """Wait for a line, open the store and raise one counter so many times, in competition with others."""
    sys.stdin.readline()
    store = SqliteStore(path)
    while times:
        item = store.get("/counter")
        value, version = (item.document["value"], item.version) if item else (0, 0)
        try:
            store.commit({"/counter": {"value": value + 1}}, expect={"/counter": version})
        except Conflict:
            continue
        times -= 1
    store.close()


def write(path: Path, seed: int) -> None:
    """Commit for ever, batches small and large; say each round's number once it is committed.

    Round n puts one document under `/round` and under many keys of `/left` and `/right`, and deletes
    what round n-1 put under `/fleeting`.
    """
    chance = random.Random(seed)
    store = SqliteStore(path)
    item = store.get("/round")
    for n in count(item.document["n"] + 1 if item else 1):
        document = {"n": n, "size": chance.choice([1, 10, 300])}
        keys = [f"/{side}/{n}/{i}" for side in ("left", "right") for i in range(document["size"])]
        puts = dict.fromkeys(keys, document) | {"/round": document, f"/fleeting/{n}": document}
        store.commit(puts, deletes=[f"/fleeting/{n - 1}"])
        print(n, flush=True)


if __name__ == "__main__":
    _, file, command, number = sys.argv
    {"count": count_up, "write": write}[command](Path(file), int(number))
