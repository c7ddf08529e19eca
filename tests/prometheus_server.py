"""A real Prometheus on loopback, with the kit's rules, for tests: Debian's package `prometheus`."""

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedlora.errors import NotReadyError, ProcessDiedError
from fedlora.processes import free_ports

RULES = Path(__file__).parents[1] / "docker" / "prometheus" / "rules"
PROGRAMS = ("prometheus", "promtool")


def find_programs() -> None:
    """Leave a test out where this machine has no Prometheus; CI's must have one."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    said = f"{' and '.join(missing)} cannot be found; Debian's package prometheus has both"
    if "CI" in os.environ:
        pytest.fail(f"CI tests rules and dashboards, but {said}", pytrace=False)
    pytest.skip(f"left out: {said}")


def promtool(*arguments: object, folder: Path | None = None) -> str:
    """Call promtool, and return what it said; a test fails with it where promtool does."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class PrometheusServer:
    """Prometheus, asking the exporters of some jobs; a context manager that stops it.

    Parameters
    ----------
    folder : Path
        For its configuration, its data and its log; made.
    jobs : mapping
        ``host:port`` of each exporter by job: ``coordinator``, ``parts``, ``site``.
    interval : str
        How often exporters are asked and rules evaluated.
    """

    def __init__(self, folder: Path, jobs: Mapping[str, Sequence[str]], *, interval: str = "1s") -> None:
        self.folder, self.jobs, self.interval = folder, jobs, interval
        (self.port,) = free_ports(1)

    def __enter__(self) -> "PrometheusServer":
        self.folder.mkdir(parents=True)
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(json.dumps(self._configuration()))  # JSON is YAML
        options = (
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )
        with (self.folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(["prometheus", *options], stdout=log, stderr=log)
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _configuration(self) -> dict[str, Any]:
        return {
            "global": {"scrape_interval": self.interval, "evaluation_interval": self.interval},
            "rule_files": [str(RULES / "*.yml")],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in self.jobs.items()
            ],
        }

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus answers: a list of ``{"metric": labels, "value": [time, text]}``.

        Raises
        ------
        ProcessDiedError
            If it refuses the question; says what it said.
        """
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise ProcessDiedError(f"{expression}: {error.read().decode(errors='replace')}") from error
        return found

    def values(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values of an expression by some of its labels."""
        found = self.query(expression)
        return {tuple(one["metric"].get(label, "") for label in labels): float(one["value"][1]) for one in found}

    def wait_for(self, expression: str, seconds: float = 30.0) -> list[dict[str, Any]]:
        """Wait until an expression has data, and return it.

        Raises
        ------
        NotReadyError
            After `seconds`.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.query(expression):
                return found
            time.sleep(0.2)
        raise NotReadyError(f"{expression}: no data within {seconds:.0f} s")

    def _wait_until_up(self, seconds: float = 60.0) -> None:
        """Wait until it has asked every exporter, and each has answered."""
        wanted, up = sum(map(len, self.jobs.values())), -1.0
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, ProcessDiedError, ConnectionError):
                up = self.values("sum(up)").get((), 0.0)
                if up == wanted:
                    return
            time.sleep(0.1)
        log = (self.folder / "log.txt").read_text(errors="replace")[-3000:]
        raise NotReadyError(f"{up:.0f} of {wanted} exporters of {dict(self.jobs)} have answered Prometheus:\n{log}")


def rules(kind: str) -> list[dict[str, Any]]:
    """Return all rules of a kind, ``alert`` or ``record``."""
    files = [yaml.safe_load(file.read_text()) for file in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if kind in rule]
