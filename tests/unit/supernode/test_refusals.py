"""What the trainer says of a failure that nobody has foreseen: its name, and not its text, which may quote a row."""

import logging

import grpc
import pytest

from supernode.trainer.refusals import Refusals, answering

ROW = "the patient of row 7 has a name"


class Aborted(Exception):
    """What ends a call."""


class Context:
    """A call's, as gRPC has it."""

    def abort(self, status, reason):
        raise Aborted(status, reason)


class Service:
    def __init__(self):
        self.refusals = Refusals()

    @answering
    def Train(self, request, context):
        raise KeyError(ROW)


def test_of_the_unforeseen_only_the_name_leaves_and_the_site_reads_the_rest(caplog):
    service = Service()
    with caplog.at_level(logging.ERROR), pytest.raises(Aborted) as aborted:
        service.Train(None, Context())
    status, reason = aborted.value.args
    assert (status, reason) == (grpc.StatusCode.INTERNAL, "KeyError in the trainer; see the site's log")
    assert ROW in caplog.text
    assert sum(sample.value for sample in service.refusals.samples()) == 1
