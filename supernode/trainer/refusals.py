"""How a call that the trainer does not do is answered: by name, in words that quote no record, counted and logged."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec, Protocol, TypeVar

import grpc

from fedlora.errors import FedloraError, PolicyError, PrivacyError, WireError
from fedlora.log import printable
from fedlora.metrics import Sample

__all__ = ["Refusals", "answering"]

# Which answer an error becomes. Its text is public: it names values that the caller sent or that the policy lists.
STATUS = {
    PolicyError: grpc.StatusCode.PERMISSION_DENIED,
    PrivacyError: grpc.StatusCode.FAILED_PRECONDITION,
    WireError: grpc.StatusCode.INVALID_ARGUMENT,
}
MOST_REASON = 1000  # characters: a caller's own words come back in some, and may be many
UNFORESEEN = "UnforeseenError"
log = logging.getLogger("fedlora.trainer")


class Refusals:
    """The calls that were not done, by the error that they were answered with, since the trainer's start."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[name] += 1

    def samples(self) -> list[Sample]:
        """Return the counts, for the site's metrics."""
        with self._lock:
            return [
                Sample("fedlora_trainer_refusals_total", float(count), {"name": name})
                for name, count in sorted(self._counts.items())
            ]


class _Refusing(Protocol):
    refusals: Refusals


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Service = TypeVar("Service", bound=_Refusing)


def answering(
    call: Callable[Concatenate[Service, Arguments], Result],
) -> Callable[Concatenate[Service, Arguments], Result]:
    """Turn what `call` raises into a gRPC status; of the unforeseen only the name leaves: its text may quote a row."""

    @wraps(call)
    def answered(self: Service, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return call(self, *arguments, **named)
        except FedloraError as error:
            name, status = type(error).__name__, STATUS.get(type(error), grpc.StatusCode.ABORTED)
            reason = printable(str(error))[:MOST_REASON]
            log.warning("%s: %s: %s", call.__name__, name, reason)
        except Exception as error:
            log.exception("%s failed", call.__name__)
            name, status = UNFORESEEN, grpc.StatusCode.INTERNAL
            reason = f"{type(error).__name__} in the trainer; see the site's log"
        self.refusals.count(name)
        _abort(arguments[1], status, reason)

    return answered


def _abort(context: Any, status: grpc.StatusCode, reason: str) -> NoReturn:
    context.abort(status, reason)
    raise AssertionError("abort raises")
