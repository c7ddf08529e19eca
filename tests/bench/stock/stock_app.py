"""Flower as its own templates use it: the strategy FedAvg, one array for each tensor, and clients that do no work."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

server, client = ServerApp(), ClientApp()


class Timed(FedAvg):
    """FedAvg that notes when each round begins; nothing else is changed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.began: list[float] = []

    def configure_train(self, *arguments: Any, **named: Any) -> Any:
        self.began.append(time.time())
        return super().configure_train(*arguments, **named)


@server.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes, tensors, values = (int(config[name]) for name in ("nodes", "tensors", "values"))
    generator = np.random.default_rng(0)
    arrays = {
        f"tensor-{number:03}": Array(generator.normal(size=values // tensors).astype(np.float32))
        for number in range(tensors)
    }
    strategy = Timed(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    strategy.start(grid=grid, initial_arrays=ArrayRecord(arrays), num_rounds=int(config["rounds"]), timeout=600)
    Path(str(config["rounds-file"])).write_text(json.dumps([*strategy.began, time.time()]), encoding="utf-8")


@client.train()
def train(message: Message, _: Context) -> Message:
    content = RecordDict({"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})})
    return Message(content=content, reply_to=message)
