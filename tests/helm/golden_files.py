"""Plain renderings, as they are meant: ``python tests/helm/golden_files.py`` writes them, a test compares."""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from helm_program import Helm, fetch
from rendered_charts import CHART_OF, HERE, party_values, template

import fedlora

__all__ = ["FOLDER", "without_version"]

FOLDER = HERE / "golden"


def without_version(text: str) -> str:
    """Return a rendering in which the kit's version is a word, and what is a hash of it is left out."""
    text = re.sub(r"(checksum/\w+): [0-9a-f]{64}", r"\1: HASH", text)
    text = re.sub(r"-(scores|benchmarks)-[0-9a-f]{8}\b", r"-\1-HASH", text)
    text = re.sub(rf"(?<![\d.]){re.escape(fedlora.__version__)}(?![\d.])", "VERSION", text)
    # Rules and dashboards are held to their own files.
    return re.sub(r"(?ms)^---\n# Source: \S+/monitoring.yaml\n.*?(?=^---\n|\Z)", "", text)


def main() -> None:
    """Write the files."""
    with tempfile.TemporaryDirectory() as scratch:
        helm, values = Helm(fetch(4), Path(scratch)), party_values(Path(scratch))
        for party, chart in CHART_OF.items():
            (FOLDER / f"{party}.yaml").write_text(without_version(template(helm, chart, values[party])))


if __name__ == "__main__":
    main()
