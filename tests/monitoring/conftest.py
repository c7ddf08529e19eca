"""Tests of rules, alerts and dashboards by Prometheus itself."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from prometheus_server import PrometheusServer, find_programs


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """Prometheus and promtool: without them no test here can say anything."""
    find_programs()


@pytest.fixture(scope="session")
def prometheus(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., PrometheusServer]]:
    """Return a function that starts a Prometheus: `prometheus(jobs)`; all are stopped at the end."""
    with ExitStack() as running:

        def start(jobs: dict[str, list[str]]) -> PrometheusServer:
            folder = tmp_path_factory.mktemp("prometheus") / "server"
            return running.enter_context(PrometheusServer(folder, jobs))

        yield start
