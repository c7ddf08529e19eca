"""What Flower counts of a call to the Fleet API: the size of messages with their envelopes and objects, by run."""

from typing import Any, NamedTuple

__all__ = ["Sizes", "flower_sizes"]


class Sizes(NamedTuple):
    """Bytes of a Flower run, to the node and from it."""

    flower_run: int
    down: int = 0
    up: int = 0


def flower_sizes(call: str, request: Any, response: Any) -> Sizes | None:
    """Return what a call that has succeeded adds to Flower's traffic of a run; None for one that it does not count.

    As ``flwr.server.superlink.fleet.message_handler`` counts: objects by their content, messages with the whole of
    their request and response; not a look for messages that found none, nor heartbeats.
    """
    if call == "PullObject" and response.object_available:
        return Sizes(request.run_id, down=len(response.object_content))
    if call == "PushObject" and response.stored:
        return Sizes(request.run_id, up=len(request.object_content))
    if call == "PullMessages" and response.messages_list:
        return Sizes(response.messages_list[0].metadata.run_id, response.ByteSize(), request.ByteSize())
    if call == "PushMessages":
        return Sizes(request.messages_list[0].metadata.run_id, response.ByteSize(), request.ByteSize())
    return None
