"""Values that contradict themselves are refused when they are rendered, by a sentence that says what to do."""

import pytest
from rendered_charts import APIS, CHART_OF, NotRenderedError, template

REFUSED = [
    ("coordinator", {"tls": {"enabled": False}}, "tls.enabled is false: sites are known by their keys under TLS alone"),
    ("site-a", {"tls": {"enabled": False}}, "tls.enabled is false"),
    ("evaluator", {"tls": {"enabled": False}}, "tls.enabled is false"),
    ("coordinator", {"rendered": "9.9.9"}, "rendered is 9.9.9 and the chart is of fedlora"),
    ("site-a", {"image": {"tag": "latest"}}, "image.tag is latest"),
    ("coordinator", {"settings": {"keeper": ""}}, "settings.keeper is empty"),
    ("coordinator", {"secrets": {"existingSecret": ""}}, "make the coordinator's files with `fedlora pki coordinator`"),
    ("coordinator", {"certManager": {"enabled": True}}, "certManager.issuer.name is empty"),
    ("coordinator", {"podDisruptionBudget": {"maxUnavailable": 2}}, "there is one pod of each; allowed: 0 or 1"),
    ("site-b", {"trainer": {"gpu": {"count": 0}}}, "a GPU is only given to a container that has a limit of it"),
    ("site-a", {"trainer": {"gpu": {"count": 2}}}, r"2 GPU\(s\) would stand idle"),
    ("site-a", {"trainer": {"device": "cuda", "gpu": {"count": 1}}}, 'settings.trainer does not say device = "cuda"'),
    ("site-a", {"shard": {"existingClaim": ""}}, "site a trains the domain medical and has no shard"),
    ("site-a", {"site": {"domain": "finance"}}, 'settings.supernode does not say domain = "finance"'),
    ("site-a", {"site": {"name": "b"}}, 'settings.supernode does not say site = "b"'),
    ("site-a", {"secrets": {"existingSecret": ""}}, "make the site's key with `fedlora node keygen`"),
    ("site-a", {"superlink": {"caCertificate": ""}}, "superlink.caCertificate is empty"),
    ("site-a", {"superlink": {"addressBlocks": []}}, "superlink.addressBlocks is empty"),
    ("site-a", {"baseModel": {"fetch": {"model": ""}}}, "baseModel.fetch.model is empty"),
    ("site-a", {"baseModel": {"fetch": {"image": "trainer"}}}, "name the address blocks of the hub or of your mirror"),
    ("evaluator", {"run": ""}, "run is empty: name the run whose checkpoints are scored"),
    ("evaluator", {"scores": {"existingClaim": ""}}, "scores.existingClaim is empty"),
    ("evaluator", {"settings": {"evaluation": ""}}, "settings.evaluation is empty"),
    ("evaluator", {"benchmarks": {"enabled": True}}, "benchmarks.sets is empty"),
    ("evaluator", {"benchmarks": {"enabled": True, "sets": {"tfns": "a"}}}, "benchmarks.existingClaim is empty"),
    ("evaluator", {"superlink": {"caCertificate": ""}}, "superlink.caCertificate is empty"),
    ("evaluator", {"secrets": {"existingSecret": ""}}, "make the evaluator's pair with `fedlora pki evaluator`"),
    ("evaluator", {"leaderboard": {"enabled": True}}, "leaderboard.existingClaim is empty"),
]


@pytest.mark.parametrize(("party", "wrong", "said"), REFUSED)
def test_a_contradiction_is_refused_by_a_sentence(party, wrong, said, helm, values):
    with pytest.raises(NotRenderedError, match=said):
        template(helm, CHART_OF[party], values[party], wrong, apis=APIS)


def test_a_second_writer_is_refused_without_the_schema_too(helm, values, tmp_path):
    import yaml
    from rendered_charts import CHARTS

    for party in ("coordinator", "site-a"):
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values[party]))
        options = ("--skip-schema-validation", "--values", file, "--set", "replicas=2")
        done = helm.run("template", "fed", CHARTS / CHART_OF[party], *options)
        assert "replicas is 2" in done.stderr
        assert "allowed: 1" in done.stderr


def test_cert_manager_is_refused_where_there_is_none(helm, values):
    wanted = {"certManager": {"enabled": True, "issuer": {"name": "federation"}}}
    with pytest.raises(NotRenderedError, match=r"this cluster has no cert-manager.io/v1"):
        template(helm, CHART_OF["coordinator"], values["coordinator"], wanted)
    assert "kind: Certificate" in template(helm, CHART_OF["coordinator"], values["coordinator"], wanted, apis=APIS)


def test_a_chart_without_its_values_says_where_they_come_from(helm):
    for chart in sorted(set(CHART_OF.values())):
        with pytest.raises(NotRenderedError, match=r"is empty"):
            template(helm, chart, {})
