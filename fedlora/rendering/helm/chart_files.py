"""What the charts hold of other folders: ``python -m fedlora.rendering.helm.chart_files`` writes it, a test compares.

A chart is packed by itself, so it needs copies of the alerts, rules and dashboards, and of the gateway's configuration.
"""

import sys
from pathlib import Path

from fedlora.rendering.compose.gateway import pod_entrance_configuration

__all__ = ["FLEET", "HTTP", "chart_files"]

FLEET, HTTP = "127.0.0.1:19092", "127.0.0.1:18000"  # where a pod's SuperLink listens: on its loopback alone
CHART = Path("helm/fedlora-superlink/files")


def chart_files(repository: Path) -> dict[Path, str]:
    """Return the content of each file, by its path in the repository."""
    copied = {
        CHART / "rules": (repository / "docker/prometheus/rules").glob("*.yml"),
        CHART / "dashboards": (repository / "docker/grafana/dashboards").glob("*.json"),
    }
    files = {folder / source.name: source.read_text() for folder, found in copied.items() for source in sorted(found)}
    return {**files, CHART / "haproxy.cfg": pod_entrance_configuration(fleet=FLEET, http=HTTP)}


def main(arguments: list[str]) -> int:
    """Write the files below the repository that is named, or the current folder."""
    repository = Path(*arguments)
    for path, text in chart_files(repository).items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
