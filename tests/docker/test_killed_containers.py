"""One run in which every container is killed, and every container is restarted, in turn: it ends well all the same."""

import pytest
from deployment import COORDINATOR, Deployment, docker, wait_until

RUN = "disturbed"
PARTS = (
    *((COORDINATOR, service) for service in ("superlink", "gateway", "serverapp", "keeper")),
    ("finance", "trainer"),
    ("medical", "supernode"),
    ("code", "relay"),
)


@pytest.fixture(scope="module")
def disturbed(deployment: Deployment, trained: object) -> Deployment:
    """The federation with a run of many rounds under way."""
    deployment.submit(RUN, "--set", "run.recipe=medical/default")
    wait_until(lambda: rounds(deployment, COORDINATOR, "keeper") > 0, "the first round", 120)
    return deployment


def rounds(deployment: Deployment, party: str, service: str) -> int:
    """Return how many rounds of the run are done; asked of a container that is not the one just killed."""
    known = deployment.run(RUN, service="keeper" if (party, service) == (COORDINATOR, "serverapp") else "serverapp")
    assert known["state"] == "running", known
    return int(known["rounds_done"])


@pytest.mark.parametrize("how", ["kill", "restart"])
@pytest.mark.parametrize(("party", "service"), PARTS)
def test_rounds_go_on_after(how, party, service, disturbed):
    before = rounds(disturbed, party, service)
    container = disturbed.container(party, service)
    docker(how, container)
    if how == "kill":
        docker("start", container)  # an engine starts nothing again that its user has killed
    # One round may have been all but done; the next was begun, trained and aggregated afterwards.
    wait_until(lambda: rounds(disturbed, party, service) >= before + 2, "two further rounds", 180)


def test_the_run_ends_well(disturbed):
    ended = disturbed.end(RUN)
    assert (ended["state"], ended["rounds_done"]) == ("completed", 36), ended
