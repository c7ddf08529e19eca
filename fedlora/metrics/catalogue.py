"""The catalogue: every series that the kit exports, under its one name.

The page ``docs/metrics.md`` is made from it, and nothing leaves an exporter that does not stand here. Names follow
Prometheus' rules: ``fedlora_``, what is measured, its unit; counters end in ``_total``. Labels are bounded: runs,
nodes, domains and words of the kit's own, never an id of a message or a number of a round.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CATALOGUE", "LABELS", "SITE_AREAS", "Area", "Metric", "metric"]


class Area(StrEnum):
    """What a metric is about; a site's policy lets areas leave, or not."""

    RUN = "run"
    """A run's state, its rounds and their seconds, as the coordinator's ledger has them."""
    TRAFFIC = "traffic"
    """Bytes and messages."""
    TRAINING = "training"
    """What was trained, and how well."""
    RESOURCES = "resources"
    """What parts take of their machines."""
    HEALTH = "health"
    """Whether everything is there, and for how long yet."""


SITE_AREAS = tuple(str(area) for area in Area if area is not Area.RUN)  # what a site may tell, or keep to itself

LABELS = {
    "benchmark": "what was scored, and how",
    "certificate": "`ca`, `server` or `admin`",
    "codec": "how values became bytes",
    "direction": "`down` to the sites, `up` from them",
    "domain": "what a site's records are about",
    "flower": "version of Flower",
    "figure": "by what an update is an outlier: `norm`, `cosine` or `copy`",
    "gpu": "number of the GPU, from 0",
    "kit": "version of fedlora",
    "model": "`base`, or `adapted` with the run's newest adapter",
    "name": "an error's name",
    "node": "a site's node; `coordinator` for what runs there",
    "outcome": "`answered`, `refused`, `failed`, `late` or `lost`",
    "part": "a part of the kit: `superlink`, `serverapp`, `keeper`, `exporter`, `supernode`, `trainer`",
    "phase": "what time went into, a word of `fedlora/phases.py`",
    "resource": "what a budget is of: `bytes`, `rounds` or `seconds`",
    "run": "name of a run; at a site, Flower's id of it until its name is known there",
    "stage": "`wanted`, `sampled`, `answered` or `refused`",
    "state": "where something stands",
}


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes
    ----------
    name : str
        Its name, with its unit.
    kind : str
        ``counter`` or ``gauge``.
    area : Area
        What it is about.
    labels : tuple of str
        Its labels, all of `LABELS`.
    meaning : str
        What it says; the help text of the exposition.
    taken : str
        How it is taken, and what it leaves out.
    needs : str
        What it is absent without: "" for nothing, ``gpu``, or ``evaluator``.
    told : bool
        Whether a site's node tells it: on its own port, and in-band in its answers. The others are the coordinator's.
    """

    name: str
    kind: str
    area: Area
    labels: tuple[str, ...]
    meaning: str
    taken: str
    needs: str = ""
    told: bool = False


LEDGER = "From the run's ledger."
NODE_BYTES = "Counted at the node, kept in its state folder over restarts."
PROC = "From /proc, for the part's process and all below it."
PRIVACY = (
    "From the trainer's privacy ledger, kept over restarts; of updates with noise, by the delta of the site's policy. "
    "Absent without noise."
)
NVML = "From NVIDIA's management library (NVML), by the trainer."

CATALOGUE = (
    # --- runs and rounds ---
    Metric(
        "fedlora_run_state",
        "gauge",
        Area.RUN,
        ("run", "state"),
        "1 for the state that a run is in, 0 for the others",
        LEDGER + " States: queued, running, completed, failed, stopped.",
    ),
    Metric(
        "fedlora_run_submitted_timestamp_seconds",
        "gauge",
        Area.RUN,
        ("run",),
        "When a run was submitted",
        "From the run's folder.",
    ),
    Metric(
        "fedlora_run_rounds",
        "gauge",
        Area.RUN,
        ("run",),
        "Rounds that a run is to have",
        "From the run's configuration.",
    ),
    Metric(
        "fedlora_run_round",
        "gauge",
        Area.RUN,
        ("run",),
        "Round that was begun last",
        LEDGER,
    ),
    Metric(
        "fedlora_run_rounds_aggregated",
        "gauge",
        Area.RUN,
        ("run",),
        "Rounds whose checkpoint is committed",
        LEDGER + " Falls when a checkpoint is found damaged and its round is trained again.",
    ),
    Metric(
        "fedlora_run_attempts_total",
        "counter",
        Area.RUN,
        ("run",),
        "Attempts that were begun",
        LEDGER,
    ),
    Metric(
        "fedlora_run_budget",
        "gauge",
        Area.RUN,
        ("run", "resource"),
        "What a run may use of bytes, rounds or seconds; absent where there is no limit",
        "From the run's configuration.",
    ),
    Metric(
        "fedlora_run_budget_used_ratio",
        "gauge",
        Area.RUN,
        ("run", "resource"),
        "Used share of a budget; absent where there is no limit",
        LEDGER + " Seconds run from the first attempt to the last sign of life.",
    ),
    Metric(
        "fedlora_run_forecast_bytes",
        "gauge",
        Area.RUN,
        ("run",),
        "Payload that the whole run takes if every site is asked once in each of its rounds",
        "By the ServerApp once the sites have agreed on the adapter, before round 1: message x sites x rounds x 2, "
        "plus what earlier attempts used. Leaves out what will be sent a second time.",
    ),
    Metric(
        "fedlora_rounds_total",
        "counter",
        Area.RUN,
        ("run", "state"),
        "Rounds that were begun, by what became of them",
        LEDGER + " States: training (under way, or left by an attempt that was lost), aggregated, failed, discarded.",
    ),
    Metric(
        "fedlora_round_started_timestamp_seconds",
        "gauge",
        Area.RUN,
        ("run",),
        "When the newest round began",
        LEDGER,
    ),
    Metric(
        "fedlora_round_seconds",
        "gauge",
        Area.RUN,
        ("run",),
        "Duration of the newest aggregated round",
        LEDGER + " From its begin to its committed checkpoint.",
    ),
    Metric(
        "fedlora_round_phase_seconds_total",
        "counter",
        Area.RUN,
        ("run", "phase"),
        "Time of the rounds at the coordinator by phase",
        LEDGER + " Of rounds that have ended. Writing a checkpoint overlaps the next round.",
    ),
    Metric(
        "fedlora_round_participants",
        "gauge",
        Area.RUN,
        ("run", "stage"),
        "Sites wanted, sampled, answered and refused in the newest round",
        LEDGER,
    ),
    Metric(
        "fedlora_round_domain_updates",
        "gauge",
        Area.RUN,
        ("run", "domain"),
        "Updates of a domain's sites in the newest round that has ended",
        LEDGER,
    ),
    Metric(
        "fedlora_turns_total",
        "counter",
        Area.RUN,
        ("run", "node", "outcome"),
        "Turns of a node that have ended, by outcome",
        LEDGER,
    ),
    Metric(
        "fedlora_turn_phase_seconds_total",
        "counter",
        Area.RUN,
        ("run", "node", "phase"),
        "Time of a node's turns by phase",
        LEDGER + " Phases within the site are its own word; transfer is the rest of the round trip.",
    ),
    Metric(
        "fedlora_refusals_total",
        "counter",
        Area.RUN,
        ("run", "node", "name"),
        "Refusals, by the error that they are named after",
        LEDGER + " Refused by the site, or its update by the coordinator; other where the reason names no error.",
    ),
    Metric(
        "fedlora_node_rounds_since_update",
        "gauge",
        Area.RUN,
        ("run", "node"),
        "Rounds aggregated since a node's last update: its staleness",
        LEDGER,
    ),
    # --- communication ---
    Metric(
        "fedlora_payload_bytes_total",
        "counter",
        Area.TRAFFIC,
        ("run", "node", "direction", "codec"),
        "Payload: headers and blocks of adapters",
        "At the coordinator: from the ledger, each message as often as it was sent, dropped answers included. At a "
        "site: as its node has counted them. Leaves out envelopes, TLS and questions without an adapter.",
        told=True,
    ),
    Metric(
        "fedlora_message_bytes_total",
        "counter",
        Area.TRAFFIC,
        ("run", "node", "direction"),
        "A run's messages: payload with its envelopes, and questions and answers without an adapter",
        NODE_BYTES + " By the rules of Flower's own counter, so the two should agree. Leaves out gRPC and TLS.",
        told=True,
    ),
    Metric(
        "fedlora_transfer_seconds_total",
        "counter",
        Area.TRAFFIC,
        ("run", "node", "direction"),
        "Time in which a node fetched a run's messages (download), or sent its answers (upload)",
        NODE_BYTES + " From the first byte asked for to the last. Leaves out the look that found the message, and the "
        "coordinator's way between SuperLink and ServerApp; both are in the phase transfer of the node's turns.",
        told=True,
    ),
    Metric(
        "fedlora_messages_total",
        "counter",
        Area.TRAFFIC,
        ("run", "node", "direction"),
        "Messages of a run at its node, with and without an adapter",
        NODE_BYTES,
        told=True,
    ),
    Metric(
        "fedlora_wire_bytes_total",
        "counter",
        Area.TRAFFIC,
        ("run", "node", "direction"),
        "Bytes of the TCP streams while a run's messages were carried: TLS, gRPC and retransmissions included",
        "The kernel's TCP_INFO at the node's sockets, read as each transfer begins and ends; while messages of two "
        "runs are carried at once, all is the first one's. Leaves out the headers of TCP and IP, and what a connection "
        "carried in its last moment before it broke.",
        told=True,
    ),
    Metric(
        "fedlora_idle_wire_bytes_total",
        "counter",
        Area.TRAFFIC,
        ("node", "direction"),
        "Bytes of the TCP streams while no message was carried: looks for messages, and heartbeats",
        "As wire bytes.",
        told=True,
    ),
    Metric(
        "fedlora_retransmitted_bytes_total",
        "counter",
        Area.TRAFFIC,
        ("node",),
        "Bytes that the node's kernel sent a second time",
        "As wire bytes, in which they are contained.",
        told=True,
    ),
    Metric(
        "fedlora_remote_calls_total",
        "counter",
        Area.TRAFFIC,
        ("run", "node"),
        "Calls (RPCs) that carried a run's messages",
        NODE_BYTES + " Looks for messages and heartbeats are not a run's.",
        told=True,
    ),
    Metric(
        "fedlora_flower_traffic_bytes_total",
        "counter",
        Area.TRAFFIC,
        ("run", "direction"),
        "What Flower's SuperLink itself has counted for a run: a second meter",
        "From the Control API, noted by the keeper. Objects of messages with their envelopes, without gRPC and TLS.",
    ),
    # --- training ---
    Metric(
        "fedlora_training_loss",
        "gauge",
        Area.TRAINING,
        ("run", "node"),
        "Mean loss of a node's newest update, in nats for each answer token",
        LEDGER + " Absent where that update told none.",
    ),
    Metric(
        "fedlora_update_norm",
        "gauge",
        Area.TRAINING,
        ("run", "node"),
        "Euclidean norm of a node's newest update",
        LEDGER + " Of updates that were refused for their norm as well.",
    ),
    Metric(
        "fedlora_update_cosine",
        "gauge",
        Area.TRAINING,
        ("run", "node"),
        "Median of the cosines of a node's newest update to the other nodes' of its round",
        LEDGER + " From sketches, off by about 0.016. Absent where there was no other one.",
    ),
    Metric(
        "fedlora_update_outliers_total",
        "counter",
        Area.TRAINING,
        ("run", "node", "figure"),
        "Updates of a node that were far from the others of their round, and counted all the same",
        LEDGER + " By norm or cosine from 5 updates on; copy: it points where another node's does.",
    ),
    Metric(
        "fedlora_round_training_loss",
        "gauge",
        Area.TRAINING,
        ("run",),
        "Mean loss of the newest aggregated round, weighted by records",
        LEDGER + " Absent where none of its updates told a loss.",
    ),
    Metric(
        "fedlora_round_training_loss_rises",
        "gauge",
        Area.TRAINING,
        ("run",),
        "Aggregated rounds in a row, up to the newest, in which the mean loss rose",
        LEDGER,
    ),
    Metric(
        "fedlora_examples_total",
        "counter",
        Area.TRAINING,
        ("run", "node"),
        "Records that updates were made from, each as often as it was seen",
        LEDGER,
    ),
    Metric(
        "fedlora_tokens_total",
        "counter",
        Area.TRAINING,
        ("run", "node"),
        "Tokens trained on, without padding",
        LEDGER,
    ),
    Metric(
        "fedlora_padding_ratio",
        "gauge",
        Area.TRAINING,
        ("run", "node"),
        "Share of padding in what went through the model in a node's newest turn",
        LEDGER,
    ),
    Metric(
        "fedlora_tokens_per_second",
        "gauge",
        Area.TRAINING,
        ("run", "node"),
        "Tokens trained on for each second of training, in a node's newest turn",
        LEDGER,
    ),
    Metric(
        "fedlora_evaluation_score_ratio",
        "gauge",
        Area.TRAINING,
        ("run", "model", "benchmark"),
        "Accuracy on held-out records or in a benchmark, from 0 to 1",
        "By the evaluator, from `scores.json` and `benchmarks/` in the run's folder: of the base model and of the "
        "newest round that was scored; n and intervals stand there.",
        needs="evaluator",
    ),
    Metric(
        "fedlora_run_epsilon",
        "gauge",
        Area.HEALTH,
        ("run", "node"),
        "What a node's updates to a run tell of its shard, as differential privacy counts it",
        PRIVACY,
        told=True,
    ),
    Metric(
        "fedlora_site_epsilon",
        "gauge",
        Area.HEALTH,
        ("node",),
        "The same of all updates of a node to all runs",
        PRIVACY,
        told=True,
    ),
    Metric(
        "fedlora_site_epsilon_limit",
        "gauge",
        Area.HEALTH,
        ("node",),
        "Epsilon beyond which a node's trainer refuses; absent where there is no limit",
        "From the site's policy.",
        told=True,
    ),
    Metric(
        "fedlora_site_updates_total",
        "counter",
        Area.HEALTH,
        ("node",),
        "Updates that a node's trainer has given, to all runs, the same one again not counted",
        "From the trainer's privacy ledger, kept over restarts.",
        told=True,
    ),
    Metric(
        "fedlora_trainer_refusals_total",
        "counter",
        Area.HEALTH,
        ("node", "name"),
        "Calls that a node's trainer did not do since its start, by the error that they were answered with",
        "By the trainer; `UnforeseenError` for one that nobody named. Leaves out messages that gRPC refuses as too "
        "large, and calls that did not reach it.",
        told=True,
    ),
    # --- resources ---
    Metric(
        "fedlora_cpu_seconds_total",
        "counter",
        Area.RESOURCES,
        ("node", "part"),
        "Time on CPUs, of user and system",
        PROC + " Leaves out processes that have ended without being waited for.",
        told=True,
    ),
    Metric(
        "fedlora_resident_memory_bytes",
        "gauge",
        Area.RESOURCES,
        ("node", "part"),
        "Resident memory",
        PROC + " Pages that processes share count in each.",
        told=True,
    ),
    Metric(
        "fedlora_threads",
        "gauge",
        Area.RESOURCES,
        ("node", "part"),
        "Threads",
        PROC,
        told=True,
    ),
    Metric(
        "fedlora_open_files",
        "gauge",
        Area.RESOURCES,
        ("node", "part"),
        "Open file descriptors",
        PROC,
        told=True,
    ),
    Metric(
        "fedlora_disk_size_bytes",
        "gauge",
        Area.RESOURCES,
        ("node", "part"),
        "Size of the disk that a part keeps its state on",
        "From the file system.",
        told=True,
    ),
    Metric(
        "fedlora_disk_free_bytes",
        "gauge",
        Area.RESOURCES,
        ("node", "part"),
        "What is free on it",
        "From the file system.",
        told=True,
    ),
    Metric(
        "fedlora_model_load_seconds",
        "gauge",
        Area.RESOURCES,
        ("node",),
        "What loading base model and shard took when the trainer started",
        "By the trainer.",
        told=True,
    ),
    Metric(
        "fedlora_gpu_memory_bytes",
        "gauge",
        Area.RESOURCES,
        ("node", "gpu"),
        "Memory of a GPU",
        NVML,
        needs="gpu",
        told=True,
    ),
    Metric(
        "fedlora_gpu_memory_used_bytes",
        "gauge",
        Area.RESOURCES,
        ("node", "gpu"),
        "Memory of a GPU that is in use, by whomever",
        NVML,
        needs="gpu",
        told=True,
    ),
    Metric(
        "fedlora_gpu_memory_peak_bytes",
        "gauge",
        Area.RESOURCES,
        ("node", "gpu"),
        "The most that the trainer itself has held on a GPU since its start",
        "From torch's allocator. Leaves out the CUDA context.",
        needs="gpu",
        told=True,
    ),
    Metric(
        "fedlora_gpu_utilisation_ratio",
        "gauge",
        Area.RESOURCES,
        ("node", "gpu"),
        "Share of the last moment in which a GPU was computing",
        NVML,
        needs="gpu",
        told=True,
    ),
    Metric(
        "fedlora_gpu_power_watts",
        "gauge",
        Area.RESOURCES,
        ("node", "gpu"),
        "Power that a GPU draws",
        NVML,
        needs="gpu",
        told=True,
    ),
    Metric(
        "fedlora_gpu_energy_joules_total",
        "counter",
        Area.RESOURCES,
        ("node", "gpu"),
        "Energy that a GPU has used since its driver was loaded",
        NVML + " All of the GPU, whoever used it.",
        needs="gpu",
        told=True,
    ),
    Metric(
        "fedlora_training_gpu_seconds_total",
        "counter",
        Area.RESOURCES,
        ("run", "node"),
        "Seconds of training times GPUs that were trained on",
        LEDGER,
        needs="gpu",
    ),
    Metric(
        "fedlora_training_gpu_joules_total",
        "counter",
        Area.RESOURCES,
        ("run", "node"),
        "Energy of the GPUs while a run was trained",
        LEDGER + " " + NVML + " All of the GPU, whoever used it meanwhile.",
        needs="gpu",
    ),
    # --- health ---
    Metric(
        "fedlora_node_online",
        "gauge",
        Area.HEALTH,
        ("node",),
        "1 where the SuperLink holds a registered node for online, 0 where not",
        "From the Control API, noted by the keeper.",
    ),
    Metric(
        "fedlora_node_last_seen_timestamp_seconds",
        "gauge",
        Area.HEALTH,
        ("node",),
        "When a node was online last",
        "By the keeper, each time it looks. Absent for a node that never was.",
    ),
    Metric(
        "fedlora_node_told_timestamp_seconds",
        "gauge",
        Area.HEALTH,
        ("node",),
        "When a node's newest figures came in an answer: what the coordinator shows of its resources is so old",
        LEDGER,
    ),
    Metric(
        "fedlora_node_info",
        "gauge",
        Area.HEALTH,
        ("node", "domain", "kit", "flower"),
        "1; its labels say what a node is",
        "By the node.",
        told=True,
    ),
    Metric(
        "fedlora_node_clock_skew_seconds",
        "gauge",
        Area.HEALTH,
        ("node",),
        "How far a node's clock is ahead of the coordinator's",
        "From the node's time in its newest answer. Too small by the time that the answer was on its way, which may be "
        "seconds.",
    ),
    Metric(
        "fedlora_certificate_expiry_timestamp_seconds",
        "gauge",
        Area.HEALTH,
        ("node", "certificate"),
        "When a certificate runs out",
        "From the file that the part uses.",
        told=True,
    ),
    Metric(
        "fedlora_build_info",
        "gauge",
        Area.HEALTH,
        ("kit", "flower"),
        "1; its labels say the versions of the coordinator",
        "By the exporter.",
    ),
)

_BY_NAME = {entry.name: entry for entry in CATALOGUE}


def metric(name: str) -> Metric:
    """Return the metric called `name`.

    Raises
    ------
    KeyError
        If the catalogue has none.
    """
    return _BY_NAME[name]
