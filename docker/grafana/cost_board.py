"""The dashboard of what runs cost: bytes, seconds and joules."""

from panels import RUN, RUN_NODE, Board, Panel

__all__ = ["COST"]

COST = Board(
    "cost",
    "What runs cost: bytes, seconds and joules, in all, for each round, for each node, and for each point of score.",
    ("run", "node"),
    (
        (
            "Bytes",
            (
                Panel(
                    "Payload",
                    "Headers and blocks of adapters so far.",
                    (('run_direction:fedlora_payload_bytes:total{run=~"$run"}', "{{run}} {{direction}}"),),
                    unit="decbytes",
                    least=0,
                ),
                Panel(
                    "Wire",
                    "Bytes of the TCP streams while messages were carried: TLS, gRPC and retransmissions included.",
                    (('run_direction:fedlora_wire_bytes:total{run=~"$run"}', "{{run}} {{direction}}"),),
                    unit="decbytes",
                    least=0,
                ),
                Panel(
                    "Flower's own count",
                    "What Flower's SuperLink itself has counted: a second meter, of messages with their envelopes.",
                    (
                        (
                            f"max by (run, direction) (fedlora_flower_traffic_bytes_total{{{RUN}}})",
                            "{{run}} {{direction}}",
                        ),
                    ),
                    unit="decbytes",
                    least=0,
                ),
                Panel(
                    "Payload a round",
                    "Mean over the rounds that were begun.",
                    (('run_direction:fedlora_payload_bytes:per_round{run=~"$run"}', "{{run}} {{direction}}"),),
                    unit="decbytes",
                    kind="bargauge",
                    least=0,
                ),
                Panel(
                    "Wire a round",
                    "Mean over the rounds that were begun.",
                    (('run_direction:fedlora_wire_bytes:per_round{run=~"$run"}', "{{run}} {{direction}}"),),
                    unit="decbytes",
                    kind="bargauge",
                    least=0,
                ),
                Panel(
                    "Wire for each byte of payload",
                    "What TLS, gRPC, envelopes and retransmissions add.",
                    (('run:fedlora_wire_bytes:per_payload_byte{run=~"$run"}', "{{run}}"),),
                    unit="none",
                    kind="stat",
                    width=4,
                ),
                Panel(
                    "Forecast used",
                    "Payload so far, as a share of what was forecast for the whole run.",
                    (('run:fedlora_forecast_bytes:used_ratio{run=~"$run"}', "{{run}}"),),
                    unit="percentunit",
                    kind="stat",
                    thresholds=((1.02, "orange"),),
                    width=4,
                ),
                Panel(
                    "Payload by node",
                    "So far.",
                    (
                        (
                            f"sum by (run, node, direction) (fedlora_payload_bytes_total{{{RUN_NODE}}})",
                            "{{run}} {{node}} {{direction}}",
                        ),
                    ),
                    unit="decbytes",
                    kind="bargauge",
                    least=0,
                    width=12,
                ),
                Panel(
                    "Wire by node",
                    "So far.",
                    (
                        (
                            f"sum by (run, node, direction) (fedlora_wire_bytes_total{{{RUN_NODE}}})",
                            "{{run}} {{node}} {{direction}}",
                        ),
                    ),
                    unit="decbytes",
                    kind="bargauge",
                    least=0,
                    width=12,
                ),
            ),
        ),
        (
            "Seconds",
            (
                Panel(
                    "Seconds of rounds",
                    "All rounds that have ended.",
                    (('run:fedlora_round_seconds:total{run=~"$run"}', "{{run}}"),),
                    unit="s",
                    kind="stat",
                ),
                Panel(
                    "Seconds a round",
                    "Mean of the rounds that have ended, by phase.",
                    (('run_phase:fedlora_round_phase_seconds:per_round{run=~"$run"}', "{{run}} {{phase}}"),),
                    unit="s",
                    kind="bargauge",
                    least=0,
                ),
                Panel(
                    "GPU-seconds",
                    "Seconds of training times GPUs that were trained on, by node.",
                    ((f"sum by (run, node) (fedlora_training_gpu_seconds_total{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    unit="s",
                    kind="bargauge",
                    least=0,
                ),
            ),
        ),
        (
            "Joules",
            (
                Panel(
                    "Energy of GPUs",
                    "While the run was trained, by node.",
                    ((f"sum by (run, node) (fedlora_training_gpu_joules_total{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    unit="joule",
                    least=0,
                ),
                Panel(
                    "Energy a round",
                    "Mean over the rounds that were begun.",
                    (
                        (
                            'run:fedlora_gpu_joules:total{run=~"$run"} / (run:fedlora_rounds:begun{run=~"$run"} > 0)',
                            "{{run}}",
                        ),
                    ),
                    unit="joule",
                    kind="stat",
                ),
                Panel(
                    "GPU-seconds a round",
                    "Mean over the rounds that were begun.",
                    (
                        (
                            'run:fedlora_gpu_seconds:total{run=~"$run"} / (run:fedlora_rounds:begun{run=~"$run"} > 0)',
                            "{{run}}",
                        ),
                    ),
                    unit="s",
                    kind="stat",
                ),
            ),
        ),
        (
            "For each point of score that the adapter gained on the base model",
            (
                Panel(
                    "Points gained",
                    "Of 100, on held-out records.",
                    (('run_benchmark:fedlora_evaluation_score:gained_points{run=~"$run"}', "{{run}} {{benchmark}}"),),
                    unit="none",
                    kind="stat",
                    width=24,
                    height=4,
                ),
                Panel(
                    "Payload for each point",
                    "No value where nothing was gained.",
                    (('run_benchmark:fedlora_payload_bytes:per_point{run=~"$run"}', "{{run}} {{benchmark}}"),),
                    unit="decbytes",
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "Wire for each point",
                    "No value where nothing was gained.",
                    (('run_benchmark:fedlora_wire_bytes:per_point{run=~"$run"}', "{{run}} {{benchmark}}"),),
                    unit="decbytes",
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "Seconds for each point",
                    "Seconds of rounds. No value where nothing was gained.",
                    (('run_benchmark:fedlora_round_seconds:per_point{run=~"$run"}', "{{run}} {{benchmark}}"),),
                    unit="s",
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "Energy for each point",
                    "No value where nothing was gained.",
                    (('run_benchmark:fedlora_gpu_joules:per_point{run=~"$run"}', "{{run}} {{benchmark}}"),),
                    unit="joule",
                    kind="stat",
                    width=6,
                ),
            ),
        ),
    ),
)
