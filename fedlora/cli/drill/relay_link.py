"""The link of a site in containers, where it leaves the site's relay: this takes hold of the relay's network."""

import json
import subprocess
from typing import Any

from fedlora.drills import LinkControl
from fedlora.errors import ConfigurationError

__all__ = ["RelayLink"]


class RelayLink(LinkControl):
    """A link as it leaves a relay.

    Parameters
    ----------
    about : dict
        What the engine knows of the relay's container.
    process : int
        A process in it.
    """

    def __init__(self, about: dict[str, Any], process: int) -> None:
        self.enter = ("nsenter", "--target", str(process), "--net")
        inside = f"{about['Config']['Labels']['com.docker.compose.project']}_inside"
        networks = about["NetworkSettings"]["Networks"]
        self.outside = {one["IPAddress"] for name, one in networks.items() if name != inside}
        self.undo: list[tuple[str, ...]] = []

    def cut(self) -> None:
        """Drop whatever comes from the coordinator or goes there."""
        for device in self._devices(outside=True):
            self._rule("INPUT", "-i", device, "-j", "DROP")
            self._rule("OUTPUT", "-o", device, "-j", "DROP")

    def slow(self, bits_per_second: float, delay_seconds: float) -> None:  # noqa: ARG002
        """Let no more pass than so much, each way: what leaves to either side is shaped.

        Nothing is late: that takes netem, which many kernels lack.
        """
        bucket = ("tbf", "rate", f"{bits_per_second:.0f}bit", "burst", "32kbit", "latency", "400ms")
        for device in self._devices(outside=False):
            self._call("tc", "qdisc", "add", "dev", device, "root", *bucket)
            self.undo.append(("tc", "qdisc", "del", "dev", device, "root"))

    def drop(self, share: float) -> None:
        """Drop a share of the packets, each way."""
        for device in self._devices(outside=True):
            for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o")):
                which = ("-p", "tcp", "-m", "statistic", "--mode", "random", "--probability", f"{share}")
                self._rule(chain, way, device, *which, "-j", "DROP")

    def mend(self) -> None:
        """Take back all that was done."""
        while self.undo:
            self._call(*self.undo.pop())

    def close(self) -> None:
        """Take back all that was done; there is nothing else to put back."""
        self.mend()

    def _rule(self, chain: str, *rule: str) -> None:
        self._call("iptables", "--wait", "-I", chain, *rule)
        self.undo.append(("iptables", "--wait", "-D", chain, *rule))

    def _devices(self, *, outside: bool) -> list[str]:
        """Return the relay's devices, or those alone that lead to the coordinator."""
        listed = json.loads(self._call("ip", "-json", "-4", "address"))
        addresses = {one["ifname"]: {own["local"] for own in one["addr_info"]} for one in listed}
        return [name for name, own in addresses.items() if name != "lo" and (not outside or own & self.outside)]

    def _call(self, *command: str) -> str:
        done = subprocess.run([*self.enter, *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise ConfigurationError(f"in the network of the relay, {' '.join(command)} failed: {done.stderr.strip()}")
        return done.stdout
