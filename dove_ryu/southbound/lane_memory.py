"""The fast lane's memory: numbers in messages, and tables of records.

This is the uncompiled lane's.  The compiled one has the same functions in ``lane_memory.pxd``, where a message is a
pointer to its bytes and a table is one block of memory; they are all that is said in two ways.  The caller answers for
the bounds.

A table has records of five numbers under keys of two, none of more than 64 bits.  To look a record up takes two steps,
:func:`approach` and :func:`find`, because in the compiled form the first only asks the memory for the line that the
second will read: with a hundred thousand endpoints the way to the memory is what a look-up costs, and it can be on its
way for many requests at a time.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from pathlib import Path
from typing import Any

Word = int
Objects = list[Any]
Octets = bytearray | bytes
Record = tuple[int, int, int, int, int]


class Table:
    """Records by their keys, the two numbers of which are one here.

    :ivar made: what :mod:`dove_ryu.southbound.lane_uncompiled` has made of records; it goes with its record.
    """

    __slots__ = ("made", "records")

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.made: dict[int, Any] = {}


# ---- objects that are in a list, for who looks at them without Python's lock ----------------------


def items(objects: list[Any]) -> list[Any]:
    """Where the objects are, as long as the list is the same and keeps them."""
    return objects


# ---- numbers in messages -------------------------------------------------------------------------


def octets(buffer: bytearray) -> bytearray:
    """The bytes of a buffer, to be read and written; not for longer than the buffer keeps its size."""
    return buffer


def fixed(data: bytes) -> bytes:
    """The bytes of what is not to be written."""
    return data


def u8(data: Octets, at: int) -> int:
    """A number of one byte."""
    return data[at]


def u16(data: Octets, at: int) -> int:
    """A number of two bytes, in the network's order."""
    return data[at] << 8 | data[at + 1]


def u32(data: Octets, at: int) -> int:
    """A number of four bytes."""
    return int.from_bytes(data[at : at + 4], "big")


def u48(data: Octets, at: int) -> int:
    """A number of six bytes."""
    return int.from_bytes(data[at : at + 6], "big")


def u64(data: Octets, at: int) -> int:
    """A number of eight bytes."""
    return int.from_bytes(data[at : at + 8], "big")


def put16(target: bytearray, at: int, value: int) -> None:
    """Write a number of two bytes, in the network's order."""
    target[at : at + 2] = value.to_bytes(2, "big")


def put24(target: bytearray, at: int, value: int) -> None:
    """Write a number of three bytes."""
    target[at : at + 3] = value.to_bytes(3, "big")


def put32(target: bytearray, at: int, value: int) -> None:
    """Write a number of four bytes."""
    target[at : at + 4] = value.to_bytes(4, "big")


def put64(target: bytearray, at: int, value: int) -> None:
    """Write a number of eight bytes."""
    target[at : at + 8] = value.to_bytes(8, "big")


def copy(target: bytearray, to: int, data: Octets, at: int, size: int) -> None:
    """Copy *size* bytes."""
    target[to : to + size] = data[at : at + size]


def cut(data: Octets, at: int, size: int) -> bytes:
    """A copy of *size* bytes, to be kept."""
    return bytes(data[at : at + size])


def widen(buffer: bytearray, size: int) -> None:
    """Let a buffer have *size* bytes, more than it has."""
    buffer.extend(bytes(size - len(buffer)))


# ---- sockets -------------------------------------------------------------------------------------


def receive(descriptor: int, buffer: bytearray, at: int, room: int) -> int:
    """Read what a socket has into a buffer, from *at* up to *room*: how many bytes; 0 at its end, or minus the errno."""
    try:
        with memoryview(buffer) as view:
            return os.readv(descriptor, [view[at:room]])
    except OSError as error:
        return -(error.errno or 0)


def transmit(descriptor: int, data: bytearray, size: int) -> int:
    """Give a socket the first *size* bytes: how many it takes now, or minus the errno."""
    try:
        with memoryview(data) as view:
            return os.write(descriptor, view[:size])
    except OSError as error:
        return -(error.errno or 0)


class Watch:
    """What tells which of many sockets can be read."""

    __slots__ = ("epoll", "ready")

    def __init__(self, epoll: select.epoll) -> None:
        self.epoll = epoll
        self.ready: list[tuple[int, int]] = []


def new_watch(epoll: select.epoll) -> Watch:
    """Look at what an epoll object is told to watch."""
    return Watch(epoll)


def free_watch(watch: Watch) -> None:
    """Nobody looks any more."""


def await_ready(watch: Watch, patience: int) -> int:
    """Wait for so many milliseconds, -1 for ever, until there is something: how many sockets can be read."""
    watch.ready = watch.epoll.poll(None if patience < 0 else patience / 1e3, 64)
    return len(watch.ready)


def ready_one(watch: Watch, number: int) -> int:
    """The descriptor of one of them."""
    return watch.ready[number][0]


# ---- the scheduler -------------------------------------------------------------------------------


def be_prompt(nice: int, turn: int) -> None:
    """Let this thread have the processor as soon as it wants it.

    A thread that runs half of the time has had its share: Linux lets it wait a third of a millisecond for any other that
    wakes up.  Preferred by a nice value, which needs CAP_SYS_NICE, and in turns of so many nanoseconds, for which the
    kernel must be 6.12 or later, it goes first (sched(7)).  What cannot be had is done without.

    This form waits for Python's lock by the clock, and Linux takes its ease by 50 microseconds with that.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{threading.get_native_id()}/timerslack_ns").write_text("1000")


# ---- locks ---------------------------------------------------------------------------------------

Lock = threading.Lock


def new_lock() -> threading.Lock:
    """A lock, for threads that have Python's and for those that do without."""
    return threading.Lock()


def free_lock(held: threading.Lock) -> None:
    """Nobody wants it any more."""


def hold(wanted: threading.Lock) -> None:
    """Wait for a lock, without Python's."""
    wanted.acquire()


def hold_politely(wanted: threading.Lock) -> None:
    """Wait for a lock, having let go of Python's: whoever has the one may want the other."""
    wanted.acquire()


def give(held: threading.Lock) -> None:
    """Let the others have a lock."""
    held.release()


# ---- tables --------------------------------------------------------------------------------------


def new_table() -> Table:
    """An empty table."""
    return Table()


def free_table(table: Table) -> None:
    """Give back what a table has taken; nobody uses it any more."""


def address_of(table: Table) -> Any:
    """Where a table is, to be kept in another one's records as long as there is the table."""
    return table


def table_at(address: Any) -> Table:
    """The table that is there."""
    table: Table = address
    return table


def approach(table: Table, high: int, low: int) -> int:
    """Where a key is, if it is in the table: the spot that :func:`find` is to be told."""
    return high << 64 | low


def find(table: Table, spot: int, high: int, low: int) -> Record | None:
    """The record under a key, to be read before the table changes; what is not there is false."""
    return table.records.get(spot)


def put_record(table: Table, high: int, low: int, record: Record) -> None:
    """Let there be this record under a key."""
    remove_record(table, high, low)
    table.records[high << 64 | low] = record


def remove_record(table: Table, high: int, low: int) -> None:
    """Let there be no record under a key."""
    table.records.pop(high << 64 | low, None)
    table.made.pop(high << 64 | low, None)


def clear_table(table: Table) -> None:
    """Remove all records."""
    table.records.clear()
    table.made.clear()
