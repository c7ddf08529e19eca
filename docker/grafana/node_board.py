"""The dashboard of nodes: their machines, traffic, turns and GPUs."""

from panels import RATIO, RUN_NODE, Board, Panel

__all__ = ["NODE"]

NODE = Board(
    "node",
    "What a node's parts take of its machine, what it sends and gets, and what the time of its turns goes into.",
    ("node", "run"),
    (
        (
            "Resources",
            (
                Panel(
                    "CPU",
                    "Cores in use by each part, over 5 minutes.",
                    (('node_part:fedlora_cpu_seconds:rate5m{node=~"$node"}', "{{node}} {{part}}"),),
                    unit="none",
                    least=0,
                ),
                Panel(
                    "Memory",
                    "Resident memory of each part.",
                    (('max by (node, part) (fedlora_resident_memory_bytes{node=~"$node"})', "{{node}} {{part}}"),),
                    unit="bytes",
                    least=0,
                ),
                Panel(
                    "Disk",
                    "Free share of the disk that a part keeps its state on.",
                    (('node_part:fedlora_disk_free:ratio{node=~"$node"}', "{{node}} {{part}}"),),
                    **RATIO,
                ),
                Panel(
                    "Threads",
                    "Of each part.",
                    (('max by (node, part) (fedlora_threads{node=~"$node"})', "{{node}} {{part}}"),),
                    unit="none",
                    least=0,
                ),
                Panel(
                    "Open files",
                    "File descriptors of each part.",
                    (('max by (node, part) (fedlora_open_files{node=~"$node"})', "{{node}} {{part}}"),),
                    unit="none",
                    least=0,
                ),
                Panel(
                    "Loading the model",
                    "What loading base model and shard took when the trainer started.",
                    (('max by (node) (fedlora_model_load_seconds{node=~"$node"})', "{{node}}"),),
                    unit="s",
                    kind="stat",
                ),
            ),
        ),
        (
            "Traffic",
            (
                Panel(
                    "Wire",
                    "Bytes of the TCP streams each second, over 5 minutes, with looks for messages and heartbeats.",
                    (('node_direction:fedlora_wire_bytes:rate5m{node=~"$node"}', "{{node}} {{direction}}"),),
                    unit="Bps",
                    least=0,
                ),
                Panel(
                    "Payload",
                    "Headers and blocks of adapters so far.",
                    (
                        (
                            'max by (run, node, direction) (fedlora_payload_bytes_total{node=~"$node", run=~"$run"})',
                            "{{run}} {{node}} {{direction}}",
                        ),
                    ),
                    unit="decbytes",
                    least=0,
                ),
                Panel(
                    "Messages and calls",
                    "Messages of runs so far, and the calls (RPCs) that carried them.",
                    (
                        (
                            'max by (run, node, direction) (fedlora_messages_total{node=~"$node", run=~"$run"})',
                            "{{run}} {{node}} messages {{direction}}",
                        ),
                        (
                            'max by (run, node) (fedlora_remote_calls_total{node=~"$node", run=~"$run"})',
                            "{{run}} {{node}} calls",
                        ),
                    ),
                    unit="none",
                    least=0,
                ),
                Panel(
                    "Download and upload",
                    "Time so far in which the node fetched messages of runs, and sent its answers.",
                    (
                        (
                            "max by (run, node, direction) "
                            '(fedlora_transfer_seconds_total{node=~"$node", run=~"$run"})',
                            "{{run}} {{node}} {{direction}}",
                        ),
                    ),
                    unit="s",
                    least=0,
                ),
                Panel(
                    "Envelopes",
                    "Share of messages that is not payload: their envelopes, and questions and answers without an "
                    "adapter.",
                    (
                        (
                            "1 - max by (run, node, direction) "
                            '(fedlora_payload_bytes_total{node=~"$node", run=~"$run"}) / max by (run, node, direction) '
                            '(fedlora_message_bytes_total{node=~"$node", run=~"$run"})',
                            "{{run}} {{node}} {{direction}}",
                        ),
                    ),
                    unit="percentunit",
                    least=0,
                ),
                Panel(
                    "Idle",
                    "Bytes of the TCP streams so far while no message was carried: looks for messages, and heartbeats.",
                    (
                        (
                            'max by (node, direction) (fedlora_idle_wire_bytes_total{node=~"$node"})',
                            "{{node}} {{direction}}",
                        ),
                    ),
                    unit="decbytes",
                    least=0,
                ),
                Panel(
                    "Sent again",
                    "Bytes so far that the node's kernel sent a second time.",
                    (('max by (node) (fedlora_retransmitted_bytes_total{node=~"$node"})', "{{node}}"),),
                    unit="decbytes",
                    least=0,
                ),
            ),
        ),
        (
            "Turns",
            (
                Panel(
                    "A turn by phase",
                    "Mean of a node's turns; transfer is what the site does not account for.",
                    (
                        (
                            'run_node_phase:fedlora_turn_phase_seconds:per_turn{node=~"$node", run=~"$run"}',
                            "{{run}} {{node}} {{phase}}",
                        ),
                    ),
                    unit="s",
                    least=0,
                    stacked=True,
                ),
                Panel(
                    "Tokens a second",
                    "Tokens trained on for each second of training, in a node's newest turn.",
                    ((f"max by (run, node) (fedlora_tokens_per_second{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    unit="none",
                    least=0,
                ),
                Panel(
                    "Padding",
                    "Share of padding in what went through the model in a node's newest turn.",
                    ((f"max by (run, node) (fedlora_padding_ratio{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    **RATIO,
                ),
                Panel(
                    "Turns by outcome",
                    "What became of a node's turns so far.",
                    (
                        (
                            f"sum by (run, node, outcome) (fedlora_turns_total{{{RUN_NODE}}})",
                            "{{run}} {{node}} {{outcome}}",
                        ),
                    ),
                    unit="none",
                    kind="bargauge",
                    least=0,
                ),
                Panel(
                    "Tokens",
                    "Tokens trained on so far, without padding.",
                    ((f"sum by (run, node) (fedlora_tokens_total{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    unit="short",
                    least=0,
                ),
            ),
        ),
        (
            "GPU",
            (
                Panel(
                    "Utilisation",
                    "Share of the last moment in which the GPU was computing.",
                    (('max by (node, gpu) (fedlora_gpu_utilisation_ratio{node=~"$node"})', "{{node}} {{gpu}}"),),
                    **RATIO,
                ),
                Panel(
                    "Memory in use",
                    "By whomever, as a share of the GPU's memory.",
                    (('node_gpu:fedlora_gpu_memory_used:ratio{node=~"$node"}', "{{node}} {{gpu}}"),),
                    thresholds=((0.95, "red"),),
                    **RATIO,
                ),
                Panel(
                    "Peak of the trainer",
                    "The most memory that the trainer itself has held since its start.",
                    (('max by (node, gpu) (fedlora_gpu_memory_peak_bytes{node=~"$node"})', "{{node}} {{gpu}}"),),
                    unit="bytes",
                    least=0,
                ),
                Panel(
                    "Power",
                    "What the GPU draws.",
                    (('max by (node, gpu) (fedlora_gpu_power_watts{node=~"$node"})', "{{node}} {{gpu}}"),),
                    unit="watt",
                    least=0,
                ),
                Panel(
                    "Energy",
                    "Used since the GPU's driver was loaded, by whomever.",
                    (('max by (node, gpu) (fedlora_gpu_energy_joules_total{node=~"$node"})', "{{node}} {{gpu}}"),),
                    unit="joule",
                    least=0,
                ),
            ),
        ),
    ),
)
