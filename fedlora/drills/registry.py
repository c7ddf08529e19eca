"""All drills, by name."""

from fedlora.drills.drill import Drill, Place
from fedlora.errors import ConfigurationError
from fedlora.rules import suggestion

__all__ = ["DRILLS", "drill_named"]

IN_COMPOSE: dict[Place, tuple[str, ...]] = {Place.COMPOSE: ("docker",)}
ENTERING = ("docker", "root", "nsenter")  # a container's network, or what it sees of the disk

_ALL = (
    Drill("kill-superlink", "kill -9 of the SuperLink", "kill", "superlink"),
    Drill("kill-superexec", "kill -9 of the SuperExec, and of the ServerApp with it", "kill", "superexec"),
    Drill("kill-serverapp", "kill -9 of the process that leads the run", "kill", "serverapp"),
    Drill("kill-keeper", "kill -9 of the keeper", "kill", "keeper"),
    Drill("kill-gateway", "kill -9 of the proxy in front of the SuperLink", "kill", "gateway", needs=IN_COMPOSE),
    Drill("kill-supernode", "kill -9 of a site's supernode", "kill", "supernode"),
    Drill("kill-worker", "kill -9 of the worker below a site's supernode", "kill", "worker"),
    Drill("kill-trainer", "kill -9 of a site's trainer", "kill", "trainer"),
    Drill("hang-trainer", "a site's trainer hangs, and is ended by its watchdog", "hang", "trainer"),
    Drill("kill-relay", "kill -9 of the proxy that is a site's one way out", "kill", "relay", needs=IN_COMPOSE),
    Drill("kill-site", "kill -9 of all of a site at once", "kill", "site"),
    Drill("kill-everything", "kill -9 of every part at once", "kill", "everything"),
    Drill("pause-supernode", "a supernode stands still until the round is over", "pause", "supernode", 20.0, late=True),
    Drill("pause-trainer", "a trainer stands still until the round is over", "pause", "trainer", 20.0, late=True),
    Drill("pause-superlink", "the SuperLink stands still for a while", "pause", "superlink", seconds=20.0),
    Drill(
        "cut-link",
        "nothing passes a site's link for a while",
        "cut",
        "link",
        seconds=20.0,
        needs={Place.PROCESS: (), Place.COMPOSE: (*ENTERING, "ip", "iptables")},
    ),
    Drill(
        "slow-link",
        "a site's link at 1 Mbit/s, of processes 200 ms late, for a while",
        "slow",
        "link",
        seconds=20.0,
        needs={Place.PROCESS: (), Place.COMPOSE: (*ENTERING, "ip", "tc")},
    ),
    Drill(
        "lossy-link",
        "5 % of the packets of a site's link are lost for a while",
        "lose",
        "link",
        seconds=20.0,
        needs={Place.PROCESS: ("root", "iptables"), Place.COMPOSE: (*ENTERING, "ip", "iptables")},
    ),
    Drill(
        "full-disk",
        "no room for a checkpoint for a while",
        "disk",
        "serverapp",
        seconds=20.0,
        needs={Place.PROCESS: ("root", "mount", "umount"), Place.COMPOSE: ENTERING},
    ),
    Drill(
        "expired-certificate",
        "the SuperLink serves an expired certificate for a while",
        "certificate",
        "superlink",
        seconds=20.0,
        needs={Place.PROCESS: (), Place.COMPOSE: ("docker", "root")},
    ),
)
DRILLS: dict[str, Drill] = {drill.name: drill for drill in _ALL}


def drill_named(name: str) -> Drill:
    """Return a drill.

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    if name not in DRILLS:
        raise ConfigurationError(f"{name!r} is not a drill: {suggestion(name, DRILLS) or 'see fedlora drill list'}")
    return DRILLS[name]
