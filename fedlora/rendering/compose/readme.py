"""README.md of each folder: what is typed on that machine, and what is compared by another way."""

import shlex

from fedlora.federation import Federation, Site
from fedlora.rendering.compose.base_model import BUNDLE, bringing, is_fetched, model_name
from fedlora.rendering.compose.monitoring import GRAFANA_PASSWORD

__all__ = ["coordinator_readme", "site_readme"]


def coordinator_readme(federation: Federation) -> str:
    """Return README.md of the coordinator's folder."""
    own = federation.coordinator
    return f"""\
# Coordinator of {federation.name}

In this folder, on the coordinator's machine, which sites reach as {own.host}:{own.fleet_port}. `CA` is the folder \
with `ca.crt` and `ca.key`, which no container sees; `FILE` is the federation's file. The first line is for a folder \
without `secrets`: `fedlora render compose --ca CA` makes them as well.

    fedlora pki coordinator CA --federation FILE --to secrets
    sudo chown -R 49999:49999 secrets
    docker compose up -d

Each site's folder goes to its site, which answers with one public key. Admit it, and compare the SHA-256 that this \
prints with the one that the site reads out; read out to the site that of `ca.crt` (`fedlora pki show CA`):

    docker compose exec -T keeper fedlora node register SITE - <node.key.pub

Then start a run, and follow it; its adapter comes out as a folder:

    docker compose exec keeper fedlora run submit first /etc/fedlora/federation.toml
    docker compose exec keeper fedlora run watch first
    docker compose cp keeper:/var/lib/fedlora/runs/first/checkpoints .

What the federation does and costs, with alerts, in Prometheus on 127.0.0.1 at the port that `.env` names:

    docker compose --profile monitoring up -d

The same with dashboards, in Grafana on 127.0.0.1 (its image is made by `make image-grafana`; user `admin`, with the \
password that the first command makes and prints):

    openssl rand -hex 16 | tee /dev/stderr |
        sudo install -m 0400 -o 49999 -g 49999 /dev/stdin secrets/{GRAFANA_PASSWORD}
    docker compose --profile grafana up -d

Base model against adapter, on held-out records. `.env` names the folders of both, which the user 49999 must be able \
to read:

    fedlora shard import RECORDS held-out --domain {federation.run_recipe.domain}
    chmod -R o+rX held-out model
    docker compose run --rm evaluator first >scores.json

Each fifth round in benchmarks, as the rounds come, by a service that takes what the others leave of the machine. The \
folder holds the items of each, with its name, as `benchmarks/tfns.csv` (`fedlora benchmark list`):

    chmod -R o+rX benchmarks model
    docker compose --profile benchmarks up -d
    docker compose exec keeper fedlora benchmark show /var/lib/fedlora/runs/first/benchmarks

A backup, while everything runs, of database, runs and registrations, without a key. It holds adapters, and belongs on \
another machine: `.env` names the folder:

    sudo install -d -m 0700 -o 49999 -g 49999 backups
    docker compose run --rm backup /backups/monday

Where the volumes are lost, or this folder stands on a new machine with the `secrets` of the same CA:

    docker compose --profile '*' down --volumes
    docker compose run --rm restore /backups/monday
    docker compose up -d
"""


def site_readme(federation: Federation, site: Site, ca_sha256: str) -> str:
    """Return README.md of a site's folder; `ca_sha256` is empty where the CA was not there yet."""
    fingerprint = ca_sha256 or "what the coordinator tells; write it into `.env` as CA_SHA256"
    return f"""\
# Site {site.name} of {federation.name}

| what this folder was made for | |
|---|---|
| federation | {federation.name} |
| SuperLink | {federation.superlink_of(site)} |
| SHA-256 of `ca.crt` | {fingerprint} |
| base model | {model_name(federation)} |

**Compare by another way** than the one that brought this folder (a call, a letter): the SHA-256 of `ca.crt` with the \
coordinator's, and that of this site's key, which the first command below prints, with what the coordinator reads. \
Whoever could change this folder could change the table as well.

In this folder, on the site's own machine. The records lie at the path that `.env` names, and the user 49999 must be \
able to read them; `chmod -R o+rX` does it where nobody else is on the machine, `chown -R 49999` anywhere.

    docker compose run --rm credentials >node.key.pub
    docker compose up -d

Send `node.key.pub` to the coordinator. Nothing else leaves. Once it is admitted, the supernode gets healthy within \
a minute:

    docker compose ps
    docker compose logs supernode trainer

{_model_section(federation)}

## A GPU

It takes NVIDIA's driver and container toolkit on the machine, and the trainer's image whose tag ends in `-cuda`: \
`docker compose down`, `COMPOSE_PROFILES=gpu` in `.env`, `docker compose up -d`.
"""


def _model_section(federation: Federation) -> str:
    asked = shlex.join(bringing(federation, BUNDLE))
    bundle = f"""\
    docker compose run --rm --user "$(id -u):$(id -g)" -v "$PWD/bundle.tar:{BUNDLE}:ro" model {asked}"""
    fetched = """\
If it is not there, and this machine reaches the hub (its address and token, `HF_ENDPOINT` and `HF_TOKEN`, are passed \
on from your environment):

    mkdir -p model
    docker compose run --rm --user "$(id -u):$(id -g)" model

Without a way out, as"""
    begin = fetched if is_fetched(federation) else "If it is not there, as"
    return f"""\
## The base model

It lies in the folder `model`, or where `.env` says, readable for the user 49999; no container that has a key or \
records can write it. {begin} a bundle that the coordinator makes with `fedlora model bundle`:

    mkdir -p model
{bundle}"""
