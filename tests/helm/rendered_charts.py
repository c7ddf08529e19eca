"""Charts as Helm renders them, for a federation that is made up."""

from pathlib import Path
from typing import Any

import yaml
from helm_program import Helm

from fedlora.federation import Federation, read_federation
from fedlora.rendering.helm.coordinator import coordinator_values
from fedlora.rendering.helm.evaluation import evaluator_values
from fedlora.rendering.helm.site import site_values

__all__ = [
    "APIS",
    "CHARTS",
    "CHART_OF",
    "FEDERATION",
    "HERE",
    "REPOSITORY",
    "NotRenderedError",
    "containers",
    "objects",
    "party_values",
    "pods",
    "template",
]

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
CHARTS = REPOSITORY / "helm"
CHART_OF = {
    "coordinator": "fedlora-superlink",
    "site-a": "fedlora-supernode",
    "site-b": "fedlora-supernode",
    "evaluator": "fedlora-evaluator",
}
# What a cluster with the Prometheus operator and cert-manager knows besides.
APIS = (
    *(f"monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "PrometheusRule")),
    "cert-manager.io/v1/Certificate",
)
FEDERATION = """\
name = "clinics"
paths.state = "/state"
[coordinator]
host = "superlink.example.org"
address-blocks = ["203.0.113.7/32"]
[[site]]
name = "a"
domain = "medical"
shard = "/data/a"
resources.threads = 2
resources.memory = 3000
[[site]]
name = "b"
domain = "medical"
shard = "/data/b.jsonl"
superlink = "10.1.2.3:9292"
resources.device = "cuda"
resources.gpus = 2
[[recipe]]
domain = "medical"
"""
CA_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nmade up\n-----END CERTIFICATE-----\n"
CA_SHA256 = "0" * 64
Object = dict[str, Any]


class NotRenderedError(Exception):
    """What Helm said instead of rendering."""


def party_values(folder: Path) -> dict[str, Object]:
    """Return the values of each party of the federation, as `fedlora render helm` makes them."""
    file = folder / "federation.toml"
    file.write_text(FEDERATION)
    federation: Federation = read_federation(file).federation
    sites = {f"site-{one.name}": site_values(federation, one, CA_CERTIFICATE, CA_SHA256) for one in federation.site}
    return {
        "coordinator": coordinator_values(federation),
        **sites,
        "evaluator": {**evaluator_values(federation, CA_CERTIFICATE), "run": "first"},
    }


def template(
    helm: Helm, chart: str, *values: Path | Object, version: str = "1.37.0", apis: tuple[str, ...] = ()
) -> str:
    """Return what `chart` is rendered to, as release `fed`.

    Raises
    ------
    NotRenderedError
        If Helm refuses the values; says why.
    """
    options: list[object] = ["--kube-version", version]
    for api in apis:
        options += ["--api-versions", api]
    for place, one in enumerate(values):
        if isinstance(one, dict):
            file = Path(helm.environment["KUBECONFIG"]).parent / f"values-{place}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(one))
            one = file
        options += ["--values", one]
    done = helm.run("template", "fed", CHARTS / chart, "--namespace", "clinics", *options)
    if done.returncode:
        raise NotRenderedError(done.stderr)
    return done.stdout


def objects(text: str) -> list[Object]:
    """Return the objects of a rendering."""
    return [one for one in yaml.safe_load_all(text) if one]


def pods(manifests: list[Object]) -> list[tuple[str, Object]]:
    """Return every pod's name and specification, whatever makes the pod."""
    found = []
    for one in manifests:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Pod":
            found.append((name, one["spec"]))
        elif one["kind"] in ("StatefulSet", "Deployment", "Job"):
            found.append((name, one["spec"]["template"]["spec"]))
    return found


def containers(pod: Object) -> list[Object]:
    """Return all containers of a pod's specification, those that begin first included."""
    return [*pod.get("initContainers", ()), *pod["containers"]]
