"""What tests of every kind share: a tiny random model, and where the real data are."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import huggingface_hub.constants  # noqa: F401 - reads HF_HUB_OFFLINE once, which programs that tests call in here set
import pytest

from tests.tiny_model import write_tiny_model

REPOSITORY = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: processes that share cores must not wait spinning
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

# Where tests run side by side (`make test`), what shares a federation goes to one process, and every other file to one;
# but each test that starts everything by itself stands for itself. What takes longest begins first: these, then the
# other files.
FEDERATIONS = {
    **dict.fromkeys(("test_survival.py", "test_keeper.py", "test_audit.py"), "kept"),
    **dict.fromkeys(("test_rounds.py", "test_participation.py", "test_identity.py"), "running"),
    **dict.fromkeys(("test_node_commands.py", "test_kills.py", "test_doctor.py", "test_withdrawal.py"), "running"),
    "test_metrics_node.py": "running",
}
ALONE = ("test_real_model.py", "test_up.py")
LONGEST = (
    "test_survival.py",
    "test_keeper.py",
    "test_four_domains.py",
    "test_real_model.py",
    "test_up.py",
    "test_participation.py",
)


# What the kit's programs tell their libraries by the environment; tests that call them in here leave it behind, where
# programs that later tests start would take it up.
TOLD = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY")
AT_FIRST = {name: os.environ.get(name) for name in TOLD}


@pytest.fixture(autouse=True)
def _environment_as_at_first() -> None:
    for name, value in AT_FIRST.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> tuple[bool, int, bool]:
        name, kinds = item.path.name, item.path.parts
        longest = LONGEST.index(name) if name in LONGEST else len(LONGEST)
        return "docker" in kinds, longest, "integration" not in kinds  # what wants all cores comes last

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class BySharing(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            name = file.rpartition("/")[2]
            return nodeid if name in ALONE else FEDERATIONS.get(name, file)

    return BySharing(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failures", type=Path, help="file to write the names of failed tests into, for tests/again.py")


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """Leave this process as it was: programs set their variables and their log, and tests call some of them in here."""
    logger = logging.getLogger("fedlora")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    with mock.patch.dict(os.environ):
        yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that has a line printed at the end of the test run: what was measured, with its n."""
    return lambda line: request.node.user_properties.append(("figure", line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for key in ("passed", "failed") for report in terminalreporter.getreports(key)]
    calls = [report for report in reports if report.when == "call"]
    if lines := [line for report in calls for name, line in report.user_properties if name == "figure"]:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)
    if file := terminalreporter.config.getoption("--failures"):
        failed = dict.fromkeys(
            report.nodeid for key in ("failed", "error") for report in terminalreporter.getreports(key)
        )
        file.write_text("".join(f"{name}\n" for name in failed))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 2 layers and 32 channels with random weights (seeded) and a byte-level tokenizer, as a folder."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data files, which only the project's developers and its CI have."""
    folder = Path(os.environ.get("FEDLORA_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        if "CI" in os.environ:
            pytest.fail(f"CI has the real data files, but {folder} is not there")
        pytest.skip(f"left out: the real data files are not in {folder}; set FEDLORA_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def no_strays():
    """Return a function that lists processes of this kit or of Flower whose command names a folder."""

    def strays(folder: Path) -> list[str]:
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if str(folder) in command and int(process.name) != os.getpid():
                    found.append(f"{process.name}: {command}")
        return found

    return strays
