"""haproxy's configurations: the coordinator's one entrance, and a site's one way out."""

import ipaddress

from fedlora.federation import Federation, Site
from fedlora.federation.description import SERVICE
from fedlora.pki.contents import ORGANIZATION

__all__ = [
    "ADMIN_PORT",
    "FLEET_PORT",
    "HEALTH",
    "INSIDE",
    "METRICS",
    "METRICS_PORT",
    "PARTS",
    "PART_PORT",
    "RUNTIME_ENTRANCE",
    "RUNTIME_PORT",
    "entrance_configuration",
    "gateway_command",
    "pod_entrance_configuration",
    "relay_configuration",
]

FLEET_PORT, ADMIN_PORT, RUNTIME_PORT, HEALTH_PORT, METRICS_PORT = 9092, 8000, 8001, 8404, 8405  # inside containers
INSIDE = f"{SERVICE}-inside"  # the SuperLink itself; by SERVICE, clients reach the gateway
PART_PORT = 9464  # where each of the kit's containers exports what it takes, on networks that the gateway is on
RUNTIME_ENTRANCE = "runtime-entrance"  # the gateway on the ServerApp's network
PARTS = {"superlink": INSIDE, "serverapp": "serverapp", "keeper": "keeper"}  # by part, as the gateway finds it
METRICS = "gateway-metrics"  # the gateway on Prometheus' network
CONFIGURATION = "/etc/fedlora/haproxy.cfg"
ASK = f"import urllib.request as request; request.urlopen('http://127.0.0.1:{HEALTH_PORT}/health', timeout=5)"
HEALTH = ("python3", "-c", ASK)

SETTINGS = """\
global
    log stdout format raw local0 info
    maxconn 512
    ssl-load-extra-del-ext
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    log global
    option tcplog
    option dontlog-normal
    timeout connect 5s
    timeout client 1h
    timeout server 1h
"""
RESOLVERS = """\
# An address that cannot be looked up just now stays as it was.
resolvers docker
    nameserver docker 127.0.0.11:53
    hold valid 5s
    hold nx 24d
    hold other 24d
    hold refused 24d
    hold timeout 24d
    hold obsolete 24d
"""
WHO_REACHES_WHAT = """\
# Sites reach the Fleet API, which knows them by their keys. Flower's port for all else has no login: admins reach
# its Control API with a certificate that is theirs, its ServerApps reach its Runtime API, and the rest is closed.
"""
RESOLVED = "resolvers docker init-addr libc,none"


def gateway_command() -> list[str]:
    """Return the command of a gateway in the foreground."""
    return ["haproxy", "-db", "-f", CONFIGURATION]


def relay_configuration(federation: Federation, site: Site) -> str:
    """Return the configuration of a site's relay: one port, one target, and TLS passes through unopened."""
    target = federation.superlink_of(site)
    return f"""\
# The one way out of site {site.name}: to {target}, and nowhere else.
{_common()}
{_fleet(target if _is_address(target.rsplit(":", 1)[0]) else f"{target} {RESOLVED}")}"""


def entrance_configuration() -> str:
    """Return the configuration of the coordinator's entrance: who reaches what of the SuperLink."""
    return f"""\
{WHO_REACHES_WHAT}{_common()}
{_fleet(f"{INSIDE}:{FLEET_PORT} {RESOLVED}")}
{_entrances(f"{RUNTIME_ENTRANCE}:{RUNTIME_PORT}")}
frontend metrics
    mode http
    bind {METRICS}:{METRICS_PORT}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request deny deny_status 404 unless {{ path {" ".join(f"/{part}/metrics" for part in PARTS)} }}
    use_backend %[path,field(2,/)]

{_parts()}
{_http(f"{INSIDE}:8000 {RESOLVED}")}"""


def pod_entrance_configuration(*, fleet: str, http: str) -> str:
    """Return the same for a pod, whose SuperLink listens at `fleet` and `http` on its loopback alone.

    Prometheus asks a pod's parts themselves: what they export has a port of its own, and Flower's is out of reach.
    """
    return f"""\
{WHO_REACHES_WHAT}{SETTINGS}
{_health("")}
{_fleet(fleet)}
{_entrances(f":{RUNTIME_PORT}")}
frontend metrics
    mode http
    bind :{METRICS_PORT}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request deny deny_status 404

{_http(http)}"""


def _common() -> str:
    return f"{SETTINGS}\n{RESOLVERS}\n{_health('127.0.0.1')}"


def _health(host: str) -> str:
    return f"""\
frontend health
    mode http
    bind {host}:{HEALTH_PORT}
    monitor-uri /health
"""


def _entrances(runtime: str) -> str:
    """Return the sections of what comes by HTTP; that of ServerApps is bound to `runtime`."""
    tls = "ssl crt /run/secrets/server.crt"
    return f"""\
frontend control
    mode http
    bind :{ADMIN_PORT} {tls} ca-file /run/secrets/ca.crt verify required
    http-request deny deny_status 403 unless {{ ssl_c_s_dn(O) -m str {ORGANIZATION} }}
    http-request deny deny_status 403 unless {{ path_beg /v1/control/ }}
    http-request deny deny_status 403 if {{ path_sub .. % // }}
    default_backend http

frontend runtime
    mode http
    bind {runtime} {tls}
    http-request deny deny_status 403 unless {{ path_beg /v1/runtime/ }}
    http-request deny deny_status 403 if {{ path_sub .. % // }}
    default_backend http
"""


def _http(target: str) -> str:
    return f"""\
backend http
    mode http
    default-server ssl verify required ca-file /run/secrets/ca.crt sni str({SERVICE}) verifyhost {SERVICE}
    server {SERVICE} {target}
"""


def _parts() -> str:
    """Return the sections that pass Prometheus on to the parts that it does not reach, and to nothing else of them."""
    return "\n".join(
        f"""\
backend {part}
    mode http
    http-request set-path /metrics
    server {part} {host}:{PART_PORT} {RESOLVED}
"""
        for part, host in PARTS.items()
    )


def _fleet(target: str) -> str:
    """Return the sections that pass the Fleet API's connections on to `target`, unopened; bytes are counted at once."""
    return f"""\
frontend fleet
    mode tcp
    bind :{FLEET_PORT}
    option contstats
    default_backend fleet

backend fleet
    mode tcp
    server {SERVICE} {target}
"""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
