"""The dashboard of a federation: runs, rounds, training, nodes."""

from panels import NEARLY_USED, RATIO, RUN, RUN_NODE, Board, Panel

__all__ = ["FEDERATION"]

FEDERATION = Board(
    "federation",
    "Where runs stand, their rounds, who takes part, what they learn, and whether all nodes are there.",
    ("run", "node"),
    (
        (
            "Runs",
            (
                Panel(
                    "Where runs stand",
                    "State of each run, its rounds, and when the newest one began.",
                    (
                        (f"max by (run, state) (fedlora_run_state{{{RUN}}} == 1)", ""),
                        (f"max by (run) (fedlora_run_rounds_aggregated{{{RUN}}})", "aggregated"),
                        (f"max by (run) (fedlora_run_round{{{RUN}}})", "round"),
                        (f"max by (run) (fedlora_run_rounds{{{RUN}}})", "of"),
                        (f"max by (run) (fedlora_run_attempts_total{{{RUN}}})", "attempts"),
                        (
                            f"1000 * max by (run) (fedlora_round_started_timestamp_seconds{{{RUN}}})",
                            "newest round began",
                        ),
                    ),
                    kind="table",
                    units={"newest round began": "dateTimeFromNow"},
                    width=12,
                ),
                Panel(
                    "Progress",
                    "Aggregated rounds, as a share of the rounds that a run is to have.",
                    (
                        (
                            f"max by (run) (fedlora_run_rounds_aggregated{{{RUN}}}) "
                            f"/ max by (run) (fedlora_run_rounds{{{RUN}}})",
                            "{{run}}",
                        ),
                    ),
                    kind="bargauge",
                    width=6,
                    **RATIO,
                ),
                Panel(
                    "Budget used",
                    "Used share of a budget of bytes, rounds or seconds; no bar where there is no limit.",
                    ((f"max by (run, resource) (fedlora_run_budget_used_ratio{{{RUN}}})", "{{run}} {{resource}}"),),
                    kind="bargauge",
                    thresholds=NEARLY_USED,
                    width=6,
                    **RATIO,
                ),
            ),
        ),
        (
            "What is wrong",
            (
                Panel(
                    "Alerts",
                    "Alerts of fedlora that fire now; docs/runbooks.md says what to do about each.",
                    (
                        (
                            'count by (alertname) (ALERTS{alertname=~"Fedlora.+", alertstate="firing"}) '
                            "or on () vector(0)",
                            "{{alertname}}",
                        ),
                    ),
                    unit="none",
                    kind="stat",
                    thresholds=((1, "red"),),
                ),
                Panel(
                    "Refusals",
                    "Refusals so far, by the error that they are named after; 0 for a run without any.",
                    (
                        (
                            f"sum by (run, node, name) (fedlora_refusals_total{{{RUN_NODE}}}) "
                            f"or on (run) 0 * max by (run) (fedlora_run_rounds{{{RUN}}})",
                            "{{run}} {{node}} {{name}}",
                        ),
                    ),
                    unit="none",
                    kind="stat",
                    thresholds=((1, "orange"),),
                ),
                Panel(
                    "Turns by outcome",
                    "What became of the turns of all nodes so far.",
                    ((f"sum by (run, outcome) (fedlora_turns_total{{{RUN_NODE}}})", "{{run}} {{outcome}}"),),
                    unit="none",
                ),
            ),
        ),
        (
            "Rounds",
            (
                Panel(
                    "Rounds aggregated",
                    "Rounds whose checkpoint is committed.",
                    ((f"max by (run) (fedlora_run_rounds_aggregated{{{RUN}}})", "{{run}}"),),
                    unit="none",
                    least=0,
                ),
                Panel(
                    "Duration of a round",
                    "Of the newest aggregated round, and the mean of all that have ended.",
                    (
                        (f"max by (run) (fedlora_round_seconds{{{RUN}}})", "{{run}} newest"),
                        ('run:fedlora_round_seconds:mean{run=~"$run"}', "{{run}} mean"),
                    ),
                    unit="s",
                    least=0,
                ),
                Panel(
                    "A round by phase, at the coordinator",
                    "Mean of the rounds that have ended; writing a checkpoint overlaps the next round.",
                    (('run_phase:fedlora_round_phase_seconds:per_round{run=~"$run"}', "{{run}} {{phase}}"),),
                    unit="s",
                    least=0,
                    stacked=True,
                ),
                Panel(
                    "Participants",
                    "Sites wanted, sampled, answered and refused in the newest round.",
                    ((f"max by (run, stage) (fedlora_round_participants{{{RUN}}})", "{{run}} {{stage}}"),),
                    unit="none",
                    least=0,
                ),
                Panel(
                    "Updates by domain",
                    "Updates of a domain's sites in the newest round that has ended.",
                    ((f"max by (run, domain) (fedlora_round_domain_updates{{{RUN}}})", "{{run}} {{domain}}"),),
                    unit="none",
                    kind="bargauge",
                    least=0,
                ),
                Panel(
                    "Staleness",
                    "Rounds aggregated since a node's last update.",
                    ((f"max by (run, node) (fedlora_node_rounds_since_update{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    unit="none",
                    least=0,
                ),
            ),
        ),
        (
            "Training",
            (
                Panel(
                    "Mean loss",
                    "Of the newest aggregated round, weighted by records, in nats for each answer token.",
                    ((f"max by (run) (fedlora_round_training_loss{{{RUN}}})", "{{run}}"),),
                    unit="none",
                ),
                Panel(
                    "Loss by node",
                    "Mean loss of a node's newest update, in nats for each answer token.",
                    ((f"max by (run, node) (fedlora_training_loss{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    unit="none",
                ),
                Panel(
                    "Rounds in which the loss rose",
                    "Aggregated rounds in a row, up to the newest, in which the mean loss rose.",
                    ((f"max by (run) (fedlora_round_training_loss_rises{{{RUN}}})", "{{run}}"),),
                    unit="none",
                    kind="stat",
                    thresholds=((1, "orange"), (3, "red")),
                ),
                Panel(
                    "Records by node",
                    "Records that updates were made from, each as often as it was seen.",
                    ((f"sum by (run, node) (fedlora_examples_total{{{RUN_NODE}}})", "{{run}} {{node}}"),),
                    unit="none",
                    kind="bargauge",
                    least=0,
                ),
                Panel(
                    "Scores",
                    "Accuracy on held-out records of the base model and of the newest adapter.",
                    (
                        (
                            f"max by (run, benchmark, model) (fedlora_evaluation_score_ratio{{{RUN}}})",
                            "{{run}} {{benchmark}} {{model}}",
                        ),
                    ),
                    kind="bargauge",
                    width=16,
                    **RATIO,
                ),
            ),
        ),
        (
            "Nodes",
            (
                Panel(
                    "Nodes",
                    "What a node is, whether it is online, and how far its clock is ahead.",
                    (
                        ('max by (node, domain, kit, flower) (fedlora_node_info{node=~"$node"})', ""),
                        ('max by (node) (fedlora_node_online{job="coordinator", node=~"$node"})', "online"),
                        (
                            '1000 * max by (node) (fedlora_node_last_seen_timestamp_seconds{job="coordinator", '
                            'node=~"$node"})',
                            "last seen",
                        ),
                        (
                            'max by (node) (fedlora_node_clock_skew_seconds{job="coordinator", node=~"$node"})',
                            "clock ahead",
                        ),
                    ),
                    kind="table",
                    units={"last seen": "dateTimeFromNow", "clock ahead": "s"},
                    width=16,
                ),
                Panel(
                    "Certificates",
                    "Time until a certificate runs out.",
                    (
                        (
                            'node_certificate:fedlora_certificate_expiry_timestamp_seconds:min{node=~"$node|coordinator"}'
                            " - time()",
                            "{{node}} {{certificate}}",
                        ),
                    ),
                    unit="s",
                    kind="stat",
                ),
                Panel(
                    "Versions of the coordinator",
                    "Of fedlora and of Flower.",
                    (
                        (
                            'max by (kit, flower) (fedlora_build_info{job="coordinator"})',
                            "fedlora {{kit}}, Flower {{flower}}",
                        ),
                    ),
                    unit="none",
                    kind="stat",
                    width=24,
                    height=4,
                ),
            ),
        ),
    ),
)
