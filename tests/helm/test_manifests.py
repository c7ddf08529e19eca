"""What charts are rendered to: valid for each version of Kubernetes, and held to the rules of a hardened cluster."""

import itertools
import re

import kubernetes_validate
import pytest
import yaml
from golden_files import FOLDER, without_version
from rendered_charts import APIS, CHART_OF, CHARTS, NotRenderedError, containers, objects, pods, template
from test_chart_values import every_key

from fedlora.rendering.helm import schema

VERSIONS = ("1.25.0", "1.29.0", "1.33.0", "1.37.0")
FOREIGN = ("PodMonitor", "PrometheusRule", "Certificate")  # kinds of the Prometheus operator and of cert-manager
JOBS = ("coordinator", "parts", "gateway", "site")  # as alerts and dashboards know them


@pytest.fixture(scope="module")
def matrix(helm, values, plain):
    """Renderings by name: plain ones, with all that a cluster may know, with every key, and variants."""
    found = {party: objects(text) for party, text in plain.items()}
    for party, chart in CHART_OF.items():
        found[f"{party}-operators"] = objects(template(helm, chart, values[party], apis=APIS))
    for chart in schema.CHARTS:
        found[f"{chart}-every-key"] = objects(template(helm, chart, every_key(chart), apis=APIS))
    no_fetch, board = {"baseModel": {"fetch": {"enabled": False}}}, {"enabled": True, "existingClaim": "e"}
    variants = {
        "no-policy": ("coordinator", {"networkPolicy": {"enabled": False}, "checkpoints": {"enabled": False}}),
        "load-balancer": ("coordinator", {"service": {"fleet": {"type": "LoadBalancer"}}}),
        "no-metrics": ("site-a", {"metricsPort": 0, "doctor": {"enabled": False}}),
        "claims": ("site-b", {"persistence": {"model": {"existingClaim": "m"}}, **no_fetch}),
        "leaderboard": ("evaluator", {"scores": {"enabled": False}, "leaderboard": board}),
    }
    for name, (party, more) in variants.items():
        found[name] = objects(template(helm, CHART_OF[party], values[party], more))
    return found


@pytest.fixture(scope="module")
def all_pods(matrix):
    """Every pod by what it is rendered of."""
    return {f"{name}: {pod}": spec for name, manifests in matrix.items() for pod, spec in pods(manifests)}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_of_this_kubernetes(version, matrix):
    """The API of 1.20 to 1.24 has no schemas here: those versions differ in policy/v1beta1 alone, see below."""
    kinds = set()
    for name, manifests in matrix.items():
        for one in manifests:
            if one["kind"] in FOREIGN:
                continue
            kinds.add(one["kind"])
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                pytest.fail(f"{name}: {one['kind']} {one['metadata']['name']}: {error.message} at {list(error.path)}")
    assert kinds == {
        *("ConfigMap", "Deployment", "Job", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget"),
        *("Service", "StatefulSet"),
    }


def test_no_object_stands_there_twice(matrix):
    for name, manifests in matrix.items():
        known = [(one["kind"], one["metadata"]["name"]) for one in manifests]
        assert len(known) == len(set(known)), name


def test_a_kubernetes_without_policy_v1_gets_its_own(helm, values):
    def budgets(version):
        manifests = objects(template(helm, CHART_OF["coordinator"], values["coordinator"], version=version))
        return {one["apiVersion"] for one in manifests if one["kind"] == "PodDisruptionBudget"}

    assert budgets("1.20.2") == {"policy/v1beta1"}
    assert budgets("1.21.0") == {"policy/v1"}


@pytest.mark.parametrize("party", CHART_OF)
def test_the_oldest_kubernetes_is_1_20(party, helm, values):
    chart = CHART_OF[party]
    assert yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["kubeVersion"] == ">=1.20.0-0"
    assert template(helm, chart, values[party], version="1.20.2")
    with pytest.raises(NotRenderedError, match=r"incompatible with Kubernetes v1\.19\.0"):
        template(helm, chart, values[party], version="1.19.0")


def test_pods_are_of_the_restricted_standard(all_pods):
    """Pod Security Standards, `restricted`, field by field."""
    volumes = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for name, pod in all_pods.items():
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        own = pod["securityContext"]
        assert own["runAsNonRoot"] is True, name
        assert own["runAsUser"] > 0, name
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"} & set(own), name
        for volume in pod.get("volumes", ()):
            assert set(volume) - {"name"} <= volumes, (name, volume)
        for container in containers(pod):
            where = (name, container["name"])
            about = container["securityContext"]
            assert about["allowPrivilegeEscalation"] is False, where
            assert about["capabilities"] == {"drop": ["ALL"]}, where
            assert about["runAsNonRoot"] is True, where
            assert about["seccompProfile"] == {"type": "RuntimeDefault"}, where
            assert not {"privileged", "procMount", "runAsUser", "seLinuxOptions"} & set(about), where
            assert all("hostPort" not in port for port in container.get("ports", ())), where


def test_pods_are_hardened_beyond_that(all_pods):
    for name, pod in all_pods.items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert "serviceAccountName" not in pod, name
        assert pod["securityContext"]["runAsUser"] == (1001 if "every-key" in name else 49999), name
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"], name
        assert pod["terminationGracePeriodSeconds"] >= 60, name
        for container in containers(pod):
            where = (name, container["name"])
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, where
            assert set(container["resources"]["limits"]) >= {"cpu", "memory"}, where
            assert set(container["resources"]["requests"]) >= {"cpu", "memory"}, where
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, where
            assert re.search(r"(:[^/@]+|@sha256:[0-9a-f]{64})$", container["image"]), where
            assert not container["image"].endswith(":latest"), where
            assert container["command"] == ["tini", "--"], where
            secret = [one["name"] for one in container.get("env", ()) if "valueFrom" in one]
            assert secret == [], where  # keys come as files


def test_containers_that_stay_have_three_probes_and_jobs_none(matrix):
    for name, manifests in matrix.items():
        for one in manifests:
            if one["kind"] not in ("StatefulSet", "Deployment"):
                continue
            for container in one["spec"]["template"]["spec"]["containers"]:
                wanted = {"readinessProbe", "livenessProbe", "startupProbe"}
                if name == "no-metrics" and container["name"] == "supernode":
                    wanted = {"readinessProbe"}
                where = (name, container["name"])
                assert {key for key in container if key.endswith("Probe")} == wanted, where


def test_no_restart_rests_on_somebody_else_or_on_training(plain):
    """What restarts a container asks that container alone, and nothing that a round makes slow."""
    for party in ("coordinator", "site-a", "site-b"):
        for _, pod in pods(objects(plain[party])):
            for container in pod["containers"]:
                if "livenessProbe" not in container:  # of the test pods
                    continue
                for probe in ("livenessProbe", "startupProbe"):
                    asked = container[probe]
                    if container["name"] == "trainer":
                        assert asked["exec"]["command"] == ["test", "-S", "/site/socket/trainer.sock"]
                    else:
                        (kind,) = {"httpGet", "tcpSocket"} & set(asked)
                        assert asked[kind]["port"] in {port["name"] for port in container["ports"]}
                assert (
                    container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"] >= 300
                )


def test_the_port_without_a_login_is_on_the_pods_loopback_alone(plain):
    """Nothing enforces a network policy on many clusters; nobody can be let into another pod's loopback."""
    pod = dict(pods(objects(plain["coordinator"])))["StatefulSet fed-fedlora-superlink"]
    superlink, gateway = pod["containers"]
    options = dict(itertools.pairwise(superlink["args"]))
    assert (options["--host"], options["--port"]) == ("127.0.0.1", "18000")
    assert options["--fleet-api-address"] == "127.0.0.1:19092"
    assert [port["containerPort"] for port in superlink["ports"]] == [9464]
    configuration = next(one for one in objects(plain["coordinator"]) if "haproxy.cfg" in one.get("data", {}))
    targets = re.findall(r"(?m)^    server superlink (\S+)$", configuration["data"]["haproxy.cfg"])
    assert targets == ["127.0.0.1:19092", "127.0.0.1:18000"]
    assert {port["containerPort"] for port in gateway["ports"]} == {9092, 8000, 8001, 8404, 8405}


def test_only_who_needs_a_secret_sees_it(plain):
    seen = {}
    for party in ("coordinator", "site-a", "evaluator"):
        for _, pod in pods(objects(plain[party])):
            files = {one["name"]: set(secret_files(one)) for one in pod["volumes"]}
            for container in containers(pod):
                of = {file for mount in container["volumeMounts"] for file in files[mount["name"]]}
                seen.setdefault(container["name"], set()).update(of)
    assert {name: of for name, of in seen.items() if of - {"ca.crt"}} == {
        "superlink": {"ca.crt", "server.crt", "server.key", "superexec.secret"},
        "gateway": {"ca.crt", "server.crt", "server.key"},
        "serverapp": {"ca.crt", "superexec.secret"},
        "exporter": {"ca.crt", "server.crt"},
        "keeper-key": {"ca.crt", "admin.crt", "admin.key"},
        "checkpoints-key": {"ca.crt", "server.crt", "server.key"},
        "credentials": {"node.key", "node.key.pub", "evaluator.crt", "evaluator.key"},
    }


def secret_files(volume):
    """The files of Secrets in a volume."""
    sources = [volume["secret"]] if "secret" in volume else []
    sources += [one["secret"] for one in volume.get("projected", {}).get("sources", ())]
    for source in sources:
        for item in source["items"]:
            yield item["path"]
    for one in (volume.get("secret"), volume.get("projected")):
        if one:
            assert one["defaultMode"] == 0o400


def test_the_trainer_alone_sees_records_and_never_the_key(plain):
    ((_, pod),) = [one for one in pods(objects(plain["site-a"])) if one[0].startswith("StatefulSet")]
    mounted = {one["name"]: {mount["name"] for mount in one["volumeMounts"]} for one in containers(pod)}
    assert {name for name, of in mounted.items() if "shard" in of} == {"trainer", "doctor"}
    assert {name for name, of in mounted.items() if "credentials" in of} == {"supernode", "credentials", "doctor"}
    assert mounted["trainer"] & mounted["supernode"] == {"configuration", "socket", "scratch"}
    socket = {one["name"]: one for one in pod["volumes"]}["socket"]
    assert socket == {"name": "socket", "emptyDir": {}}


def test_policies_let_through_what_is_meant_and_no_more(plain):
    site = policies(plain["site-a"])["fed-fedlora-supernode"]
    assert site["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"] for rule in site["ingress"]] == [[{"port": "metrics", "protocol": "TCP"}]]
    names, superlink = site["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert superlink == {
        "to": [{"ipBlock": {"cidr": "203.0.113.7/32"}}],
        "ports": [{"port": 9092, "protocol": "TCP"}],
    }
    other = policies(plain["site-b"])["fed-fedlora-supernode"]
    assert other["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.1.2.3/32"}}]
    assert other["egress"][1]["ports"] == [{"port": 9292, "protocol": "TCP"}]
    coordinator = policies(plain["coordinator"])
    superlink = coordinator["fed-fedlora-superlink"]
    assert superlink["egress"] == []
    everybody = [rule["ports"] for rule in superlink["ingress"] if "from" not in rule]
    assert everybody == [[{"port": "fleet", "protocol": "TCP"}]]
    assert all(rule.get("to") for rule in coordinator["fed-fedlora-superlink-runs"]["egress"])


def policies(text):
    """The network policies of a rendering by name."""
    return {one["metadata"]["name"]: one["spec"] for one in objects(text) if one["kind"] == "NetworkPolicy"}


def test_a_gpu_has_a_limit_and_the_images_that_compute_on_it(plain, matrix):
    ((_, pod),) = [one for one in pods(objects(plain["site-b"])) if one[0].startswith("StatefulSet")]
    named = {one["name"]: one for one in containers(pod)}
    assert named["trainer"]["image"].endswith("-cuda")
    assert named["trainer"]["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert named["doctor"]["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert "nvidia.com/gpu" not in named["supernode"]["resources"]["limits"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in pod["volumes"]
    assert pod["hostAliases"] == [{"ip": "10.1.2.3", "hostnames": ["superlink"]}]
    part = dict(pods(matrix["fedlora-supernode-every-key"]))["StatefulSet other"]
    trainer = {one["name"]: one for one in containers(part)}["trainer"]
    assert trainer["resources"]["limits"]["nvidia.com/mig-3g.20gb"] == 1
    assert part["runtimeClassName"] == "nvidia"


def test_a_registry_takes_the_place_of_another_and_a_digest_that_of_a_tag(matrix):
    images = {one["image"] for _, pod in pods(matrix["fedlora-supernode-every-key"]) for one in containers(pod)}
    assert images == {
        "mirror.example.org/kit/supernode:next",
        f"mirror.example.org/kit/trainer@sha256:{'3'.zfill(64)}",
    }


def test_what_the_operator_is_told_fits_alerts_and_dashboards(matrix):
    monitors = [
        one
        for name in ("coordinator-operators", "site-a-operators")
        for one in matrix[name]
        if one["kind"] == "PodMonitor"
    ]
    told = {}
    for one in monitors:
        for endpoint in one["spec"]["podMetricsEndpoints"]:
            labels = {about["targetLabel"]: about["replacement"] for about in endpoint["relabelings"]}
            told.setdefault(labels["job"], set()).add(labels["instance"])
    assert told == {
        "coordinator": {"exporter"},
        "parts": {"superlink", "serverapp", "keeper"},
        "gateway": {"gateway"},
        "site": {"a"},
    }
    assert set(told) == set(JOBS)
    (rules,) = [one for one in matrix["coordinator-operators"] if one["kind"] == "PrometheusRule"]
    folder = CHARTS.parent / "docker" / "prometheus" / "rules"
    groups = [group for file in sorted(folder.glob("*.yml")) for group in yaml.safe_load(file.read_text())["groups"]]
    assert rules["spec"]["groups"] == groups
    boards = [one for one in matrix["coordinator"] if "grafana_dashboard" in one["metadata"]["labels"]]
    assert {name: text.rstrip() for one in boards for name, text in one["data"].items()} == {
        file.name: file.read_text().rstrip() for file in (folder.parents[1] / "grafana" / "dashboards").glob("*.json")
    }


def test_ports_of_monitors_are_ports_of_pods(matrix):
    for name in ("coordinator-operators", "site-a-operators"):
        known = {
            port["name"] for _, pod in pods(matrix[name]) for one in containers(pod) for port in one.get("ports", ())
        }
        for one in matrix[name]:
            if one["kind"] == "PodMonitor":
                assert {endpoint["port"] for endpoint in one["spec"]["podMetricsEndpoints"]} <= known
            if one["kind"] == "Service":
                assert {port["targetPort"] for port in one["spec"]["ports"]} <= known


def test_without_their_operators_nothing_of_them_is_rendered(matrix):
    for party in CHART_OF:
        assert not {one["kind"] for one in matrix[party]} & set(FOREIGN)


def test_no_template_makes_a_secret(matrix):
    for name, manifests in matrix.items():
        assert "Secret" not in {one["kind"] for one in manifests}, name


def test_claims_outlive_the_release(plain):
    claims = [one for text in plain.values() for one in objects(text) if one["kind"] == "PersistentVolumeClaim"]
    assert len(claims) == 2 + 3 + 3 + 2
    assert {one["metadata"]["annotations"]["helm.sh/resource-policy"] for one in claims} == {"keep"}


def test_every_release_can_be_tested(plain):
    for party in ("coordinator", "site-a"):
        hooks = [one for one in objects(plain[party]) if one["metadata"].get("annotations", {}).get("helm.sh/hook")]
        assert [one["kind"] for one in hooks] == ["Pod"]
        assert [one["name"] for one in hooks[0]["spec"]["containers"]] == ["chain", "metrics"]


def test_another_configuration_rolls_the_pods(helm, values):
    def checksums(more):
        text = template(helm, CHART_OF["site-a"], values["site-a"], more)
        return re.findall("checksum/configuration: (.*)", text)

    settings = values["site-a"]["settings"]
    other = {"settings": {"supernode": settings["supernode"] + "# another\n"}}
    assert checksums({}) == checksums({"nodeSelector": {"a": "b"}})
    assert checksums({}) != checksums(other)


def test_another_run_is_another_job(helm, values):
    def job(more):
        manifests = objects(template(helm, CHART_OF["evaluator"], values["evaluator"], more))
        (name,) = [one["metadata"]["name"] for one in manifests if one["kind"] == "Job"]
        return name

    assert job({}) == job({"leaderboard": {"port": 81}})
    assert len({job({}), job({"run": "second"}), job({"image": {"tag": "next"}}), job({"podLabels": {"a": "b"}})}) == 4


@pytest.mark.parametrize("party", CHART_OF)
def test_a_plain_rendering_is_as_it_is_meant(party, plain):
    file = FOLDER / f"{party}.yaml"
    assert without_version(plain[party]) == file.read_text(), (
        f"look at it, then: python {FOLDER.parent}/golden_files.py"
    )


def test_every_port_names_its_protocol(matrix, all_pods):
    # Before 1.21 a server-side apply, which is how Helm 4 installs, knows no default for a part of a list's key.
    services = [(name, one) for name, manifests in matrix.items() for one in manifests if one["kind"] == "Service"]
    ports = [(name, port) for name, service in services for port in service["spec"].get("ports", ())]
    running = [(name, one) for name, pod in all_pods.items() for one in containers(pod)]
    ports += [(name, port) for name, container in running for port in container.get("ports", ())]
    assert len(ports) > 50
    assert [name for name, port in ports if "protocol" not in port] == []
