from pathlib import Path

from fedlora.metrics.catalogue import CATALOGUE, LABELS
from fedlora.metrics.page import page

REPOSITORY = Path(__file__).parents[3]


def test_the_page_of_metrics_is_what_the_catalogue_says():
    assert (REPOSITORY / "docs" / "metrics.md").read_text() == page(), "call: make docs"


def test_every_label_is_explained_and_used():
    assert {label for entry in CATALOGUE for label in entry.labels} == set(LABELS)
