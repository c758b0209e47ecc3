"""Jupyter messages as they pass through a websocket, in either of its two protocols."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any


def decode(frame: str | bytes) -> dict[str, Any]:
    """The message in a frame: JSON text, or `v1.kernel.websocket.jupyter.org`'s binary layout.

    Binary: a count n of offsets, n offsets, then channel, header, parent header, metadata,
    content and any buffers, each from one offset to the next; integers are 64-bit little-endian.
    """
    if isinstance(frame, str):
        message: dict[str, Any] = json.loads(frame)
        return message
    count = int.from_bytes(frame[:8], "little")
    offsets = [int.from_bytes(frame[8 * i : 8 * i + 8], "little") for i in range(1, count + 1)]
    parts = [frame[start:end] for start, end in pairwise(offsets)]
    names = ("header", "parent_header", "metadata", "content")
    return {name: json.loads(part) for name, part in zip(names, parts[1:5], strict=True)}


def error_in(frame: str | bytes) -> str | None:
    """What went wrong, if the frame tells of an exception that reaches no cell.

    An exception in an observer answers a `comm_msg`; one in a cell answers an `execute_request`,
    and shows in the page.
    """
    message = decode(frame)
    kind = message["header"].get("msg_type", message.get("msg_type"))
    if kind != "error" or message["parent_header"].get("msg_type") == "execute_request":
        return None
    content = message["content"]
    return f"{content['ename']}: {content['evalue']}"
