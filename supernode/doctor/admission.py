"""Whether the SuperLink would let this node in: its key and its clock, asked without changing anything there.

Flower looks at a call's signature, then at its time, then at the key. A call is refused with ``Invalid timestamp`` if
it is signed with a time that is more than 5 s ahead of the SuperLink's or 305 s behind; so where that begins tells
the SuperLink's time. The call is one of node 0, which no key has, and is always refused in the end. Whether the key is
registered is told by an activation with a heartbeat that is never allowed: Flower looks for the key before it refuses
that. The node, running or not, stays as it is.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import (
    PUBLIC_KEY_HEADER,
    SIGNATURE_HEADER,
    SYSTEM_TIME_TOLERANCE,
    TIMESTAMP_HEADER,
    TIMESTAMP_TOLERANCE,
)
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest
from flwr.proto.fleet_pb2_grpc import FleetStub
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

from fedlora.errors import ControlError
from fedlora.pki.node_keys import load_node_key
from fedlora.pki.reading import key_sha256
from supernode.doctor.findings import Finding, Outcome, check, fail, ok, skipped, warn
from supernode.settings import NodeSettings

__all__ = ["examine"]

SECONDS = 10.0
MOST_AHEAD, MOST_BEHIND = SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE
SEARCHED = 86400  # seconds to both sides in which the SuperLink's time is looked for
PRECISION = 0.05
NOTABLE_AHEAD, NOTABLE_BEHIND = 2.0, 60.0
WRONG_PORT = "look at the port in `superlink`: it is that of the SuperLink's gRPC for SuperNodes"
ADVICE = "set the clock by NTP, as with: timedatectl set-ntp true"


def examine(settings: NodeSettings, hindrance: str) -> list[Finding]:
    """Look at clock and registration, unless something hinders that."""
    if hindrance:
        return [check(name)(lambda: skipped(hindrance))() for name in ("clock", "registration")]
    credentials = grpc.ssl_channel_credentials(settings.ca_certificate.read_bytes())
    with grpc.secure_channel(settings.superlink, credentials) as channel:
        fleet = _Fleet(channel, load_node_key(settings.node_key))
        return [_clock(fleet), _registration(fleet, settings.site)]


class _Fleet:
    """Signed calls that the SuperLink refuses, each for what it says."""

    def __init__(self, channel: grpc.Channel, key: ec.EllipticCurvePrivateKey) -> None:
        self.stub: Any = FleetStub(channel)
        self.key = key
        self.public_key = public_key_to_bytes(key.public_key())
        self.offset: float | None = None  # seconds to add to this machine's time for the SuperLink to accept it

    def refusal(self, call: Any, request: Any, offset: float) -> str:
        """Return why the SuperLink refuses a call that is signed `offset` seconds from now."""
        time = (datetime.now(UTC) + timedelta(seconds=offset)).isoformat()
        signature = sign_message(self.key, time.encode("ascii"))
        headers = [(PUBLIC_KEY_HEADER, self.public_key), (TIMESTAMP_HEADER, time), (SIGNATURE_HEADER, signature)]
        try:
            call(request, metadata=headers, timeout=SECONDS)
        except grpc.RpcError as error:
            return str(error.details())
        return ""

    def accepts(self, offset: float) -> bool:
        """Whether the SuperLink accepts the time `offset` seconds from now.

        Raises
        ------
        ControlError
            If what answers is no SuperLink of Flower 1.39 with authentication.
        """
        refusal = self.refusal(self.stub.PullMessages, PullMessagesRequest(), offset)
        if refusal not in ("Invalid node ID", "Invalid timestamp"):
            raise ControlError(f"this is no answer of a SuperLink that knows its nodes by keys: {refusal or 'none'}")
        return refusal == "Invalid node ID"


@check("clock", advice=WRONG_PORT)
def _clock(fleet: _Fleet) -> tuple[Outcome, str, str]:
    steps = range(0, SEARCHED, MOST_BEHIND - MOST_AHEAD)
    fleet.offset = next((at for step in steps for at in (step, -step) if fleet.accepts(at)), None)
    if fleet.offset is None:
        return fail(f"more than {SEARCHED // 3600} hours from the SuperLink's", ADVICE)
    ahead = MOST_AHEAD - _last_accepted(fleet, fleet.offset)
    said = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the SuperLink's"
    allowed = f"allowed: {MOST_AHEAD} s ahead to {MOST_BEHIND} s behind"
    if fleet.offset != 0:
        return fail(f"{said}, {allowed}", ADVICE)
    fine = ahead < NOTABLE_AHEAD and -ahead < NOTABLE_BEHIND
    return ok(said) if fine else warn(f"{said}, {allowed}", ADVICE)


def _last_accepted(fleet: _Fleet, accepted: float) -> float:
    """Return the largest offset that is accepted, given one that is."""
    refused = accepted + MOST_AHEAD + MOST_BEHIND + 1.0
    while refused - accepted > PRECISION:
        middle = (accepted + refused) / 2
        if fleet.accepts(middle):
            accepted = middle
        else:
            refused = middle
    return accepted


@check("registration", advice=WRONG_PORT)
def _registration(fleet: _Fleet, site: str) -> tuple[Outcome, str, str]:
    if fleet.offset is None:
        return skipped("the SuperLink does not accept this machine's time")
    request = ActivateNodeRequest(public_key=fleet.public_key, heartbeat_interval=0.0)
    refusal = fleet.refusal(fleet.stub.ActivateNode, request, fleet.offset)
    sha256 = key_sha256(fleet.key.public_key())
    if "Invalid heartbeat interval" in refusal:
        return ok(f"the SuperLink knows the key {sha256[:12]}")
    if "Failed to activate SuperNode" in refusal:
        return fail(
            f"the SuperLink does not know the key {sha256[:12]}, or not any more",
            f"send node.key.pub to the coordinator, who registers it: fedlora node register {site} node.key.pub",
        )
    raise ControlError(f"the SuperLink gives no answer that is known: {refusal or 'none'}")
