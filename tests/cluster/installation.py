"""A coordinator and two sites on the cluster that KUBECONFIG names, installed by the charts as their README says."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

__all__ = ["SITES", "USER", "Cluster", "CommandError", "call", "wait_until"]

REPOSITORY = Path(__file__).parents[2]
SITES = ("alpha", "beta")
USER = 49999
COMMAND_SECONDS = 1200.0
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]  # wherever a cluster has its pods
# What a node of two cores has room for; limits stay high, so that nothing is slower than it must be.
REQUESTS = {"cpu": "10m", "memory": "32Mi"}
SMALL = {"requests": REQUESTS, "limits": {"cpu": "2", "memory": "4Gi"}}
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


class CommandError(Exception):
    """A command that failed, with what it said."""


def call(*command: object, given: bytes = b"", check: bool = True, timeout: float = COMMAND_SECONDS) -> str:
    """Run a command and return what it printed.

    Raises
    ------
    CommandError
        If it fails, and `check` is set.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, input=given, capture_output=True, timeout=timeout, check=False)
    said = done.stdout.decode(errors="replace")
    if check and done.returncode:
        raise CommandError(f"{' '.join(words)} ended with {done.returncode}:\n{said}{done.stderr.decode()[-4000:]}")
    return said


def fedlora(*arguments: object) -> str:
    """Call the command line on this machine."""
    return call(sys.executable, "-m", "fedlora", *arguments)


def wait_until(holds: Callable[[], bool], what: str, seconds: float, state: Callable[[], str] = str) -> None:
    """Wait until `holds`; raise with `state` if it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise CommandError(f"{what}: not within {seconds:.0f} s\n{state()}")
        time.sleep(2)


@dataclass(frozen=True)
class Cluster:
    """Namespaces, Secrets, claims and releases of one test, all named after it.

    Attributes
    ----------
    folder : Path
        For what lies on this machine.
    name : str
        Ends the names of the namespaces.
    images : str
        What stands before the role in an image's name.
    """

    folder: Path
    name: str
    images: str = "fedlora-"

    def namespace(self, party: str) -> str:
        """Return the namespace of the coordinator or of a site: each is somebody else's."""
        return f"fedlora-{party}-{self.name}"

    @property
    def host(self) -> str:
        """Name by which sites reach the SuperLink."""
        return f"superlink.{self.namespace('coordinator')}.svc.cluster.local"

    @property
    def charts(self) -> Path:
        """A copy of the charts with the library in each."""
        copy = self.folder / "helm"
        if not copy.exists():
            shutil.copytree(REPOSITORY / "helm", copy)
            for chart in copy.glob("fedlora-*/Chart.yaml"):
                if "dependencies:" in chart.read_text():
                    call("helm", "dependency", "build", chart.parent)
        return copy

    def prepare(self) -> None:
        """Make the CA, the federation's file, all credentials and values; and in the cluster what releases name."""
        records = (files("fedlora") / "samples" / "finance" / "train.jsonl").read_bytes()
        (self.folder / "finance.jsonl").write_bytes(records)
        file = self.folder / "federation.toml"
        file.write_text(self._federation())
        fedlora("pki", "init", self.folder / "ca", "--federation", "cluster-test")
        fedlora("pki", "coordinator", self.folder / "ca", "--federation", file, "--to", self.folder / "secrets")
        rendered = ("render", "helm", file, "--out", self.folder / "values")
        fedlora(*rendered, "--ca-certificate", self.folder / "ca" / "ca.crt")
        self._volumes()
        self._namespace("coordinator")
        self._secret("coordinator", "fedlora-coordinator", self.folder / "secrets")
        for site in SITES:
            fedlora("node", "keygen", self.folder / site)
            self._namespace(site)
            self._secret(site, f"site-{site}", self.folder / site)
            self._shard(site, records)

    def _federation(self) -> str:
        def recipe(preset: str, rounds: int) -> str:
            little = 'steps = 1\nbatch = 8\nlength = 64\nrank = 4\nbase-precision = "bf16"\n'
            return f'[[recipe]]\ndomain = "finance"\npreset = "{preset}"\nrounds = {rounds}\n{little}'

        sites = "".join(
            f'[[site]]\nname = "{name}"\ndomain = "finance"\nshard = "finance.jsonl"\n'
            "[site.resources]\nthreads = 1\nmemory = 4096\n"
            for name in SITES
        )
        return (
            f'name = "cluster-test"\n[coordinator]\nhost = "{self.host}"\naddress-blocks = {json.dumps(PRIVATE)}\n'
            f'[containers]\nimages = "{self.images}"\n{sites}'
            f"{recipe('quick', 2)}{recipe('default', 4)}"
            '[run]\nrecipe = "finance/quick"\nmin-sites = 2\ndeadline = 600\n'
        )

    def _namespace(self, party: str) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "fedlora.org/test": self.name}
        metadata = {"name": self.namespace(party), "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def _secret(self, party: str, name: str, folder: Path) -> None:
        self.kubectl(party, "create", "secret", "generic", name, f"--from-file={folder}")

    def _volumes(self) -> None:
        """Where the cluster has no storage of its own, give it folders of this machine, which then is its node."""
        classes = json.loads(call("kubectl", "get", "storageclass", "-o", "json"))["items"]
        default = "storageclass.kubernetes.io/is-default-class"
        if any(one["metadata"].get("annotations", {}).get(default) == "true" for one in classes):
            return
        if os.geteuid():
            raise CommandError("the cluster has no default StorageClass, and only root can give it folders instead")
        for number in range(4 * (len(SITES) + 1)):
            place = self.folder / "volumes" / str(number)
            place.mkdir(parents=True, mode=0o700)
            os.chown(place, USER, USER)
            self.apply(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": f"fedlora-{self.name}-{number}", "labels": {"fedlora.org/test": self.name}},
                    "spec": {
                        "capacity": {"storage": "100Gi"},
                        "accessModes": ["ReadWriteOnce"],
                        "persistentVolumeReclaimPolicy": "Retain",
                        "hostPath": {"path": str(place), "type": "Directory"},
                    },
                }
            )

    def _shard(self, site: str, records: bytes) -> None:
        """Bring the records into a claim, by a pod that is gone afterwards."""
        claim = f"site-{site}-shard"
        metadata = {"name": claim, "namespace": self.namespace(site)}
        spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        self.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
        container = {
            "name": "fill",
            "image": self.image("supernode"),
            "command": ["tini", "--", "sleep", "600"],
            "securityContext": CONFINED,
            "volumeMounts": [{"name": "shard", "mountPath": "/shard"}],
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": RESTRICTED,
            "containers": [container],
            "volumes": [{"name": "shard", "persistentVolumeClaim": {"claimName": claim}}],
        }
        metadata = {"name": "fill", "namespace": self.namespace(site)}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.kubectl(site, "wait", "--for=condition=Ready", "pod/fill", "--timeout=300s")
        with io.BytesIO() as content:
            with tarfile.open(fileobj=content, mode="w") as archive:
                member = tarfile.TarInfo("finance.jsonl")
                member.size, member.mode = len(records), 0o644
                archive.addfile(member, io.BytesIO(records))
            packed = content.getvalue()
        unpack = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall('/shard')"
        self.kubectl(site, "exec", "-i", "fill", "--", "python", "-c", unpack, given=packed)
        self.kubectl(site, "delete", "pod", "fill", "--now")

    def image(self, role: str) -> str:
        """Return the image of a role as the charts call it."""
        (version,) = (
            line.split('"')[1]
            for line in (REPOSITORY / "pyproject.toml").read_text().splitlines()
            if line.startswith("version = ")
        )
        return f"{self.images}{role}:{version}"

    def apply(self, document: dict[str, Any]) -> None:
        """Give the cluster an object."""
        call("kubectl", "apply", "-f", "-", given=json.dumps(document).encode())

    def kubectl(self, party: str, *arguments: object, **more: Any) -> str:
        """Call kubectl in a party's namespace."""
        return call("kubectl", "--namespace", self.namespace(party), *arguments, **more)

    def helm(self, party: str, *arguments: object) -> str:
        """Call helm in a party's namespace; where it fails, say how the pods are."""
        try:
            return call("helm", "--namespace", self.namespace(party), *arguments)
        except CommandError as error:
            raise CommandError(f"{error}\n{self.condition(party)}") from error

    def install(self, party: str, *options: object, verb: str = "install") -> str:
        """Install a party's chart by its rendered values and what this node has room for, or upgrade it."""
        chart = "fedlora-superlink" if party == "coordinator" else "fedlora-supernode"
        values = self.folder / "values" / f"{party if party == 'coordinator' else f'site-{party}'}.yaml"
        small = self.folder / f"{chart}-small.json"
        parts = {
            "fedlora-superlink": ("superlink", "gateway", "serverapp", "keeper", "exporter", "checkpoints", "init"),
            "fedlora-supernode": ("supernode", "trainer", "model", "init"),
        }[chart]
        small.write_text(json.dumps({"resources": dict.fromkeys(parts, SMALL)}))
        further = os.environ.get("FEDLORA_TEST_VALUES", "")  # this cluster's own, such as secrets of a registry
        given = ("-f", values, "-f", small, *(("-f", further) if further else ()), "--wait", "--timeout", "15m")
        return self.helm(party, verb, party, self.charts / chart, *given, *options)

    def pods(self, party: str) -> list[dict[str, Any]]:
        """Return the pods of a party's release."""
        listed = self.kubectl(party, "get", "pods", "-l", "app.kubernetes.io/part-of=fedlora", "-o", "json")
        return list(json.loads(listed)["items"])

    def pod(self, party: str, component: str) -> dict[str, Any]:
        """Return the one pod of a component."""
        name = "app.kubernetes.io/component"
        (found,) = (one for one in self.pods(party) if one["metadata"]["labels"][name] == component)
        return found

    def inside(self, party: str, component: str, container: str, *command: object, given: bytes = b"") -> str:
        """Run a command in a container."""
        name = self.pod(party, component)["metadata"]["name"]
        return self.kubectl(party, "exec", "-i", name, "-c", container, "--", *command, given=given)

    def ask(self, *command: object, given: bytes = b"") -> str:
        """Run a command of fedlora at the coordinator, where its README says to."""
        return self.inside("coordinator", "runs", "keeper", "fedlora", *command, given=given)

    def run(self, name: str) -> dict[str, Any]:
        """Return what is known of a run; nothing while the pod that knows it is away."""
        try:
            return dict(json.loads(self.ask("run", "show", name, "--format", "json")))
        except (CommandError, ValueError):
            return {"state": "unknown", "rounds_of_attempts": [], "turns": []}

    def condition(self, party: str) -> str:
        """Return how a party's pods are, and the ends of their logs."""
        said = [self.kubectl(party, "get", "pods,pvc", "-o", "wide", check=False)]
        said.append(self.kubectl(party, "get", "events", "--sort-by=.lastTimestamp", check=False)[-3000:])
        for pod in self.pods(party):
            spec, name = pod["spec"], pod["metadata"]["name"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                log = self.kubectl(party, "logs", name, "-c", container["name"], "--tail", "12", check=False)
                said.append(f"--- {name} {container['name']}\n{log}")
        return "\n".join(said)

    def remove(self) -> None:
        """Remove every namespace and volume of this test."""
        for kind in ("namespace", "persistentvolume"):
            call("kubectl", "delete", kind, "-l", f"fedlora.org/test={self.name}", "--timeout=300s", check=False)
