"""``make demo-docker`` and ``make demo-docker-down``: a federation in containers that trains, and stays.

``python docker/demonstration.py up`` needs a Docker engine with the kit's images (``make images``).
"""

import shutil
import sys
from pathlib import Path

from deployment import COORDINATOR, SITES, Deployment, sample_records

from fedlora.errors import AlreadyUpError, FedloraError
from fedlora.language_model import obtain
from fedlora.processes import free_ports

FOLDER = Path("demo") / "docker"
NAME, RUN = "demo-docker", "first"
RECIPE = '[[recipe]]\ndomain = "finance"\npreset = "quick"\nrounds = 3\nsteps = 5\nbatch = 8\nlength = 128\n'


def main(arguments: list[str]) -> int:
    """Do what is asked; return the exit code."""
    steps = {("up",): up, ("down",): down}
    if tuple(arguments) not in steps:
        print("usage: python docker/demonstration.py up|down", file=sys.stderr)
        return 2
    try:
        steps[tuple(arguments)](Deployment(FOLDER.absolute(), NAME))
    except FedloraError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def up(deployment: Deployment) -> None:
    """Bring the federation up, train, and say where everything is."""
    if deployment.folder.exists():
        raise AlreadyUpError(f"{deployment.folder} is there already; remove what belongs to it: make demo-docker-down")
    say("base model")
    model = obtain().directory
    say("certificates and one folder a party")
    fleet, http = free_ports(2)
    deployment.render(model, sample_records(deployment.folder / "records"), RECIPE, (fleet, http))
    say("coordinator")
    deployment.start_coordinator()
    deployment.connect()
    say(f"sites {', '.join(SITES)}: each makes its key, is admitted, and loads the base model")
    deployment.start_sites()
    say(f"run {RUN}")
    deployment.submit(RUN)
    deployment.end(RUN)
    print(deployment.ask("run", "show", RUN))
    coordinator = deployment.party(COORDINATOR)
    print(
        f"Everything goes on running; the SuperLink is at localhost:{fleet} for SuperNodes, and at localhost:{http}\n"
        f"for admins, whose certificate lies in {deployment.admin}.\n\n"
        f"    cd {coordinator}    # or {deployment.party(SITES[0])}\n"
        "    docker compose ps\n"
        "    docker compose exec keeper fedlora run submit second /etc/fedlora/federation.toml\n"
        "    docker compose exec keeper fedlora run watch second\n\n"
        "make demo-docker-down removes all of it."
    )


def down(deployment: Deployment) -> None:
    """Remove containers, volumes, networks and the folder."""
    if not deployment.folder.exists():
        print("nothing to remove")
        return
    deployment.remove()
    shutil.rmtree(deployment.folder)
    print(f"removed: containers, volumes and networks of {deployment.name}, and {deployment.folder}")


def say(step: str) -> None:
    """Show a step."""
    print(f"- {step}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
