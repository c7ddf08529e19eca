"""Our messages as Flower records: one place that says how a request and its answer look inside a Flower message.

A request holds the record ``request`` (its fields as JSON) and, where an adapter travels, ``header`` and ``blocks``.
An answer holds ``answer`` (status, reason and fields as JSON), ``figures`` (numbers) and perhaps an adapter. An answer
is always content: Flower's own Error belongs to the guard, which answers before any code of ours has run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedlora.errors import WireError
from fedlora.wire.header import Header
from fedlora.wire.payload import Payload

__all__ = ["WITHDRAWAL", "Answer", "Request", "read_answer", "read_request", "write_answer", "write_request"]

STATUSES = ("ok", "refused", "failed")
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
    records = RecordDict({"request": ConfigRecord({"json": json.dumps(dict(request.fields), sort_keys=True)})})
    _add_payload(records, request.payload)
    return records


def read_request(records: RecordDict) -> Request:
    """Read a request.

    Raises
    ------
    WireError
        If the content is not one.
    """
    fields = _json_object(records, "request")
    return Request(fields, _payload(records))


def write_answer(answer: Answer) -> RecordDict:
    """Turn `answer` into the content of a Flower message."""
    body = {"status": answer.status, "reason": answer.reason, "fields": dict(answer.fields)}
    records = RecordDict({"answer": ConfigRecord({"json": json.dumps(body, sort_keys=True)})})
    records["figures"] = MetricRecord({name: float(value) for name, value in answer.figures.items()})
    _add_payload(records, answer.payload)
    return records


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
    figures = records.get("figures")
    if not isinstance(figures, MetricRecord):
        raise WireError("answer has no figures")
    numbers = {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
    return Answer(status, reason, fields, numbers, _payload(records))


def _json_object(records: RecordDict, key: str) -> dict[str, Any]:
    record = records.get(key)
    text = record.get("json") if isinstance(record, ConfigRecord) else None
    if not isinstance(text, str):
        raise WireError(f"message has no record {key!r} of ours; it holds {sorted(records)}")
    try:
        body = json.loads(text)
    except ValueError as error:
        raise WireError(f"record {key!r} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise WireError(f"record {key!r} is a {type(body).__name__}, not an object")
    return body


def _add_payload(records: RecordDict, payload: Payload | None) -> None:
    if payload is None:
        return
    records["header"] = ConfigRecord({"json": payload.header.to_json()})
    records["blocks"] = ArrayRecord(
        {
            f"{number:06d}": Array(dtype="uint8", shape=(len(block),), stype="fedlora.block", data=block)
            for number, block in enumerate(payload.blocks)
        }
    )


def _payload(records: RecordDict) -> Payload | None:
    if "header" not in records:
        return None
    header = Header.from_json(json.dumps(_json_object(records, "header")))
    blocks = records.get("blocks")
    if not isinstance(blocks, ArrayRecord):
        raise WireError("message has a header and no blocks")
    names = sorted(blocks)
    if names != [f"{number:06d}" for number in range(len(names))]:
        raise WireError(f"blocks are named {names[:3]}...; expected 000000, 000001, ...")
    return Payload(header, tuple(blocks[name].data for name in names))
