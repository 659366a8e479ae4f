"""Where one OpenFlow message ends and whose it is, as far as its first bytes tell."""

from __future__ import annotations

import struct

HEADER = struct.Struct("!BBHI")  # version, type, length, xid
OPENFLOW_1_3 = 4
PACKET_IN = 10
MARKED = {  # where a message says whose it is, by its type
    PACKET_IN: 16,  # the cookie, after the header 8, buffer_id 4, total_len 2, reason 1 and table_id 1
    11: 8,  # flow removed: the cookie
    19: 4,  # multipart reply, barrier reply: the xid
    21: 4,
}


class HangUp(Exception):
    """The connection is to be closed; the text is the reason, for the log."""


def split(buffer: memoryview) -> tuple[list[bytes], int]:
    """Cut what was received into its whole OpenFlow messages: (messages, bytes they take).

    What follows the last whole message is the beginning of one that has not arrived yet.
    Raises HangUp where a length is smaller than the header itself: nothing after it can be trusted.
    """
    messages = []
    start, end = 0, len(buffer)
    while end - start >= HEADER.size:
        length = buffer[start + 2] << 8 | buffer[start + 3]
        if length < HEADER.size:
            raise HangUp(f"malformed message: it says it is {length} bytes long, the header alone has {HEADER.size}")
        if end - start < length:
            break
        messages.append(buffer[start : start + length].tobytes())
        start += length
    return messages, start


def is_ours(message: bytes, application: int | None) -> bool:
    """Is it an OpenFlow 1.3 message about our flows, or an answer to a request of ours? None: nothing is.

    The first byte of the cookie, or of the xid that an answer repeats, is then `application`.
    """
    marked = MARKED.get(message[1])
    return (
        marked is not None and len(message) > marked and message[marked] == application and message[0] == OPENFLOW_1_3
    )
