"""One federation on a real cluster, for all tests here; `make test-cluster`, and never `make test`."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import SITES, Cluster, CommandError, call

WANTED = ("helm", "kubectl")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The federation, installed; removed at the end unless FEDLORA_KEEP is set."""
    if hindrance := _hindrance():
        request.session.shouldfail = "no test in tests/cluster can run"
        pytest.fail(hindrance, pytrace=False)
    images = os.environ.get("FEDLORA_TEST_IMAGES", "fedlora-")
    made = Cluster(tmp_path_factory.mktemp("cluster"), secrets.token_hex(3), images)
    try:
        made.prepare()
        made.install("coordinator")
        for site in SITES:
            key = (made.folder / site / "node.key.pub").read_bytes()
            made.ask("node", "register", site, "-", given=key)
        for site in SITES:
            made.install(site)
        yield made
    finally:
        if "FEDLORA_KEEP" not in os.environ:
            made.remove()


def _hindrance() -> str:
    """Say why there is no cluster; empty if there is one."""
    if missing := [name for name in WANTED if shutil.which(name) is None]:
        return f"{' and '.join(missing)} not found: these tests call helm and kubectl"
    if "KUBECONFIG" not in os.environ:
        return "KUBECONFIG is not set: name the cluster that these tests may install into and remove from"
    try:
        call("kubectl", "get", "--raw", "/readyz", timeout=60)
    except CommandError as error:
        return f"the cluster of KUBECONFIG does not answer: {error}"
    return ""
