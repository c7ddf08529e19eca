"""Our messages as Flower records: one place that says how a request and its answer look inside a Flower message.

A request holds the record ``request`` (its fields as JSON), an answer ``answer`` (status, reason, fields and figures as
JSON). Where an adapter travels, that record also has its header, and each block is a record of its own. An answer is
always content: Flower's own Error belongs to the guard, which answers before any code of ours has run.

Flower sends each record as an object in a call of its own, and an ArrayRecord as three (record, array and chunk). With
few records, none of them an ArrayRecord, a small adapter takes 11 calls both ways together; on a long road each call
costs a round trip.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ConfigRecord, RecordDict

from fedlora.errors import WireError
from fedlora.wire.header import Header
from fedlora.wire.payload import Payload

__all__ = ["WITHDRAWAL", "Answer", "Request", "read_answer", "read_request", "write_answer", "write_request"]

STATUSES = ("ok", "refused", "failed")
JSON, HEADER, BYTES = "json", "header", "bytes"  # keys of records
BLOCK = "block-"
LONGEST_REASON = 4000  # characters that are kept of what a site says
WITHDRAWAL = "withdrawal"  # field of an answer by which a site says that it is paused or has left


@dataclass(frozen=True)
class Request:
    """What the coordinator asks of a site."""

    fields: Mapping[str, Any]
    payload: Payload | None = None


@dataclass(frozen=True)
class Answer:
    """What a site answers.

    Attributes
    ----------
    status : str
        ``ok``, ``refused`` (the request is not allowed or does not fit) or ``failed`` (it was tried).
    reason : str
        Why not ok; free of paths and of anything from a shard.
    fields : mapping
        Values of the answer that are not numbers.
    figures : mapping
        Numbers about the work, each with its unit in its name.
    payload : Payload, optional
        An adapter.
    """

    status: str
    reason: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    payload: Payload | None = None

    @property
    def size(self) -> int:
        """Payload bytes."""
        return self.payload.size if self.payload else 0

    @property
    def withdrawn(self) -> bool:
        """Whether it is the site's owner who does not want to take part, whatever is asked."""
        return self.status == "refused" and WITHDRAWAL in self.fields


def write_request(request: Request) -> RecordDict:
    """Turn `request` into the content of a Flower message."""
    return _records("request", dict(request.fields), request.payload)


def read_request(records: RecordDict) -> Request:
    """Read a request.

    Raises
    ------
    WireError
        If the content is not one.
    """
    return Request(_json_object(records, "request"), _payload(records, "request"))


def write_answer(answer: Answer) -> RecordDict:
    """Turn `answer` into the content of a Flower message."""
    body = {
        "status": answer.status,
        "reason": answer.reason,
        "fields": dict(answer.fields),
        "figures": {name: float(value) for name, value in answer.figures.items()},
    }
    return _records("answer", body, answer.payload)


def read_answer(records: RecordDict) -> Answer:
    """Read an answer.

    Raises
    ------
    WireError
        If the content is not one.
    """
    body = _json_object(records, "answer")
    status, reason, fields = body.get("status"), body.get("reason"), body.get("fields")
    if status not in STATUSES or not isinstance(reason, str) or not isinstance(fields, dict):
        raise WireError(f"answer has status {status!r} and reason {reason!r}; status is one of {', '.join(STATUSES)}")
    figures = body.get("figures")
    if not isinstance(figures, dict):
        raise WireError("answer has no figures")
    numbers = {name: number for name, value in figures.items() if (number := _number(value)) is not None}
    return Answer(status, _told(reason), fields, numbers, _payload(records, "answer"))


def _number(value: Any) -> float | None:
    """Return a figure as a number; None of what is none, or is beyond what one can be."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _told(reason: str) -> str:
    """Return a reason as a ledger takes it: of a bounded length, and without halves of characters."""
    return reason[:LONGEST_REASON].encode("utf-8", "replace").decode()


def _records(key: str, body: Mapping[str, Any], payload: Payload | None) -> RecordDict:
    about = {JSON: json.dumps(body, sort_keys=True)}
    if payload is None:
        return RecordDict({key: ConfigRecord({**about})})
    blocks = {f"{BLOCK}{number:06d}": ConfigRecord({BYTES: block}) for number, block in enumerate(payload.blocks)}
    return RecordDict({key: ConfigRecord({**about, HEADER: payload.header.to_json()}), **blocks})


def _json_object(records: RecordDict, key: str) -> dict[str, Any]:
    text = _value(records, key, JSON)
    if not isinstance(text, str):
        raise WireError(f"message has no record {key!r} of ours; it holds {sorted(records)[:5]}")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"record {key!r} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise WireError(f"record {key!r} is a {type(body).__name__}, not an object")
    return body


def _payload(records: RecordDict, key: str) -> Payload | None:
    header = _value(records, key, HEADER)
    if header is None:
        return None
    if not isinstance(header, str):
        raise WireError(f"the header of record {key!r} is a {type(header).__name__}, not a text")
    names = sorted(name for name in records if name != key)
    if names != [f"{BLOCK}{number:06d}" for number in range(len(names))]:
        raise WireError(f"blocks are named {names[:3]}...; expected {BLOCK}000000, {BLOCK}000001, ...")
    blocks = [_value(records, name, BYTES) for name in names]
    for name, block in zip(names, blocks, strict=True):
        if not isinstance(block, bytes):
            raise WireError(f"the record {name!r} holds no bytes")
    return Payload(Header.from_json(header), tuple(blocks))


def _value(records: RecordDict, name: str, key: str) -> Any:
    record = records.get(name)
    return record.get(key) if isinstance(record, ConfigRecord) else None
