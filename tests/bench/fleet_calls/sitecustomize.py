"""Writes down every call that a node makes: Python imports this file at its start where the folder is on PYTHONPATH.

A line for each call of Flower's stub to the file that FLEET_CALLS names: name, begin and end in seconds since 1970, and
how many messages it brought. The calls themselves are not changed.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

from flwr.proto import fleet_pb2_grpc


class NotedStub(fleet_pb2_grpc.FleetStub):
    """Flower's stub, noted."""

    def __init__(self, channel: Any) -> None:
        super().__init__(channel)
        self._file = os.open(os.environ["FLEET_CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for name, call in list(vars(self).items()):
            if callable(call):
                setattr(self, name, self._noted(name, call))

    def _noted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            began = time.time()
            response = call(*arguments, **named)
            line = {"call": name, "began": began, "ended": time.time()}
            line["messages"] = len(getattr(response, "messages_list", ()))
            os.write(self._file, json.dumps(line).encode() + b"\n")  # one write: calls are made in several threads
            return response

        return noted


fleet_pb2_grpc.FleetStub = NotedStub  # type: ignore[misc]
