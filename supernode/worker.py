"""The resident worker: takes the place of flower-superexec and flwr-clientapp at a site.

Flower's own would start a process for each message, install the app that the run brings, and run its code. The worker
takes ClientApp tasks from the supernode over the same Runtime API, calls this image's ClientApp, and leaves the app
that comes with the task unopened. The stock one would also start agent, model and connector tasks; this one asks for
none.
"""

import argparse
import logging
import os
import socket
import sys
import time
from functools import partial
from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.superexec.run_superexec import _SUPEREXEC_AUTH_METHODS
from flwr.supernode.runtime import run_clientapp
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedlora.log import show
from supernode.client_app import app
from supernode.guard import REFUSED
from supernode.pauses import PARTS, TaskPauses

__all__ = ["Worker", "main"]

log = logging.getLogger("fedlora.worker")
FETCH = "pull_and_inflate_object_from_tree"  # what pull_task_input fetches a message with
FAILED = REFUSED + 1  # code of the Error that answers a message which the ClientApp could not even read


class Worker:
    """Serves one supernode.

    Parameters
    ----------
    address : str
        The supernode's Runtime API, ``host:port``.
    secret : bytes
        The secret that the supernode was given.
    bell : int
        The reading end of the pipe into which the node writes when a message has come.
    """

    def __init__(self, address: str, secret: bytes, bell: int) -> None:
        self.address = address
        self._pauses = TaskPauses(bell)
        self._tasks = self._client(
            RuntimeVersionHttpInterceptor(component_name="SuperExec"),
            SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=_SUPEREXEC_AUTH_METHODS),
        )

    def serve(self) -> None:
        """Take tasks and answer them, until one is called off: whoever starts us starts the node anew, too."""
        self._wait_for_supernode()
        while not self._pauses.called_off:
            if self._serve_one():
                self._pauses.note_task()
            else:
                self._pauses.wait()
        log.warning("the node had to drop a message whose task may have been taken: both are started anew")

    def _wait_for_supernode(self) -> None:
        """Wait until the supernode listens: it starts beside us, and Flower's client waits seconds after a miss."""
        host, _, port = self.address.rpartition(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return

    def _serve_one(self) -> bool:
        response = self._tasks.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        if not (response.HasField("task") and response.token):
            return False
        client = self._client(
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            RuntimeTokenHttpInterceptor(response.token),
        )
        try:
            self._answer(client)
        except RunNotRunningException as error:  # after anything else the node would wait for an answer for ever
            log.warning("a task could not be finished: %s: %s", type(error).__name__, error)
        finally:
            client.close()
        return True

    def _answer(self, client: RuntimeHttpClient) -> None:
        heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
        heartbeat.start()
        try:
            message, context, _, _ = pull_task_input(client)
            started = time.monotonic()
            reply, outcome = self._call(message, context)
            push_message(client, reply, context)
            push_task_output(client, context, *outcome)
            log.info("%s answered in %.2f s", message.metadata.message_type, time.monotonic() - started)
        finally:
            heartbeat.stop()

    def _call(self, message: Message, context: Context) -> tuple[Message, tuple[str, str]]:
        try:
            return app(message=message, context=context), ("completed", "")
        except Exception as error:
            log.exception("the ClientApp raised")
            reason = type(error).__name__
            return Message(Error(code=FAILED, reason=reason), reply_to=message), ("failed", reason)

    def _client(self, *interceptors: ProtobufClientInterceptor) -> RuntimeHttpClient:
        client: RuntimeHttpClient = RuntimeHttpClient.from_server_address(
            server_address=self.address,
            insecure=True,  # loopback of one container; what passes is read by this machine's user alone
            root_certificates=None,
            interceptors=list(interceptors),
            retry_invoker=make_simple_http_retry_invoker(),
        )
        return client


def _look_often_for_parts() -> None:
    """Shorten the waits for the parts of a message: a task is there, and taken, while the node still fetches them."""
    setattr(run_clientapp, FETCH, partial(getattr(run_clientapp, FETCH), **PARTS))


def main() -> int:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(description="The resident worker of a site.")
    parser.add_argument("--runtime-api-address", required=True)
    parser.add_argument("--superexec-auth-secret-file", type=Path, required=True)
    parser.add_argument("--bell", type=int, required=True, help="file descriptor that the node writes into")
    arguments = parser.parse_args()
    show()
    _look_often_for_parts()
    log.info("worker %d is ready", os.getpid())
    secret = arguments.superexec_auth_secret_file.read_bytes()
    Worker(arguments.runtime_api_address, secret, arguments.bell).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
