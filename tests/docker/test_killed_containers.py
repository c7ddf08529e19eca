"""One run in which every container is killed, and every container is restarted, in turn: it ends well all the same."""

import pytest
from deployment import COORDINATOR, Deployment, docker

RUN, ROUNDS = "disturbed", 22
PARTS = (
    *((COORDINATOR, service) for service in ("superlink", "gateway", "serverapp", "keeper")),
    ("finance", "trainer"),
    ("medical", "supernode"),
    ("code", "relay"),
)
FIRST, PATIENCE_SECONDS = 1, 180
# Waits until so many rounds are aggregated, and prints how many are: in a container, where asking costs least.
WAIT = """
import sys, time
from fedlora.environment import runs_directory
from superlink.ledger import Ledger
run, wanted, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
file, end, done = runs_directory() / run / "ledger.sqlite", time.monotonic() + seconds, -1
while done < wanted and time.monotonic() < end:
    time.sleep(0.2)
    if file.exists():
        ledger = Ledger(file, readonly=True)
        done = sum(row.state == "aggregated" for row in ledger.rounds())
        ledger.close()
print(done)
"""


@pytest.fixture(scope="module")
def disturbed(deployment: Deployment, trained: object) -> Deployment:
    """The federation with a run of many rounds under way."""
    deployment.submit(RUN, "--set", "run.recipe=medical/quick")
    rounds(deployment, "keeper", wanted=FIRST)
    return deployment


def rounds(deployment: Deployment, service: str, *, wanted: int) -> int:
    """Wait until so many rounds are aggregated, and return how many are; asked in a container of the coordinator."""
    asked = deployment.inside(COORDINATOR, service, "python", "-c", WAIT, RUN, str(wanted), str(PATIENCE_SECONDS))
    assert asked.returncode == 0, asked.stderr
    done = int(asked.stdout)
    assert done >= wanted, f"{done} rounds after {PATIENCE_SECONDS} s, {wanted} wanted\n{deployment.run(RUN)}"
    return done


@pytest.mark.parametrize("how", ["kill", "restart"])
@pytest.mark.parametrize(("party", "service"), PARTS)
def test_rounds_go_on_after(how, party, service, disturbed):
    asked = "keeper" if service == "serverapp" else "serverapp"  # one that stays
    container = disturbed.container(party, service)
    docker(how, container)
    if how == "kill":
        docker("start", container)  # an engine starts nothing again that its user has killed
    before = rounds(disturbed, asked, wanted=FIRST)
    assert before < ROUNDS, "the run is too short for all that happens in it"
    rounds(disturbed, asked, wanted=before + 1)


def test_the_run_ends_well(disturbed):
    ended = disturbed.end(RUN)
    assert (ended["state"], ended["rounds_done"]) == ("completed", ROUNDS), ended
