"""Cuts a node off while it pushes: Python imports this file at its start where the folder is on PYTHONPATH.

No object leaves the node while the file that CUT_OFF names is there: its answer is announced, and does not come.
"""

import os
import time
from pathlib import Path

from flwr.proto import fleet_pb2_grpc


class CutOffStub(fleet_pb2_grpc.FleetStub):
    def __init__(self, channel):
        super().__init__(channel)
        push, file = self.PushObject, Path(os.environ["CUT_OFF"])

        def push_unless_cut_off(*arguments, **named):
            if file.exists():
                print("the node is cut off", flush=True)
            while file.exists():
                time.sleep(0.1)
            return push(*arguments, **named)

        self.PushObject = push_unless_cut_off


fleet_pb2_grpc.FleetStub = CutOffStub
