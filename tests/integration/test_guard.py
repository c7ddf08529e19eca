"""A run whose app is not known: the site refuses it, and would not have opened it."""

import io
import sys
import zipfile
from pathlib import Path

from fedlora import flower

# The app of somebody who wants his own code run at a site: it shadows the module that the worker calls, and the
# coordinator's part sends a message to every node and reports what it gets back.
SHADOW = """
from pathlib import Path
Path({trace!r}).write_text("this code ran at the site")
from flwr.clientapp import ClientApp
app = ClientApp()
"""
COORDINATOR = """
import time
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    nodes = []
    while not nodes:
        nodes = list(grid.get_node_ids())
        time.sleep(0.2)
    content = RecordDict({"request": ConfigRecord({"json": "{}"})})
    messages = [Message(content, node, "query.describe", ttl=30) for node in nodes]
    replies = grid.send_and_receive(messages, timeout=30)
    said = sorted(f"{r.error.code} {r.error.reason}" if r.has_error() else "answered" for r in replies)
    raise RuntimeError("replies: " + "; ".join(said))
"""


def hostile_app(trace: Path) -> flower.AppBundle:
    files = {
        "pyproject.toml": (
            b'[project]\nname = "hostile"\nversion = "1.0.0"\ndescription = ""\nlicense = "Apache-2.0"\n'
            b'[tool.flwr.app]\npublisher = "somebody"\n[tool.flwr.app.components]\n'
            b'serverapp = "hostile_coordinator:app"\nclientapp = "supernode.client_app:app"\n'
        ),
        "hostile_coordinator.py": COORDINATOR.encode(),
        "supernode/__init__.py": SHADOW.format(trace=str(trace)).encode(),
        "supernode/client_app.py": SHADOW.format(trace=str(trace)).encode(),
    }
    return flower.bundle(files)


def start_unguarded(federation, name: str) -> None:
    """Start a site's supernode as usual, with the guard switched off in its settings."""
    federation.start_supernode(name)
    federation.end_part(f"{name}-supernode")
    file = federation.site(name) / "supernode.toml"
    file.write_text(file.read_text() + "guard = false\n")
    federation.parts.start(f"{name}-supernode", [sys.executable, "-m", "supernode", str(file)], {})


def submit_hostile(federation, trace: Path) -> str:
    app = hostile_app(trace)
    with federation.control() as control:
        run_id = control.start_run(app, {})
        federation.parts.wait_until(lambda: control.attempt(run_id).finished, "the hostile run", 120)
        return control.attempt(run_id).details


def test_an_unknown_app_is_refused_and_never_run(new_federation, tmp_path):
    trace = tmp_path / "trace"
    new_federation.start()
    details = submit_hostile(new_federation, trace)
    assert details.count("1001 app ") == 2, details
    assert "is not on this site's list" in details
    assert not trace.exists()
    for site in new_federation.sites:
        assert "is refused: app" in new_federation.log(f"{site}-supernode")
    # The nodes live on: our own run goes through afterwards.
    assert new_federation.finish(new_federation.config(rounds=1)).outcome == "completed"


def test_without_the_guard_the_apps_code_is_still_never_run(new_federation, tmp_path):
    trace = tmp_path / "trace"
    new_federation.create_credentials()
    new_federation.start_superlink()
    for name in new_federation.sites:
        new_federation.start_stub(name)
        start_unguarded(new_federation, name)
    new_federation.wait_for_sites()
    details = submit_hostile(new_federation, trace)
    assert "replies: answered; answered" in details, details  # our own ClientApp, which found no request of ours
    assert not trace.exists()
    for site in new_federation.sites:
        assert not list((new_federation.site(site) / "supernode").rglob("hostile*"))


def test_the_hostile_app_would_run_where_an_app_is_opened(tmp_path):
    """The counter-proof: opened as Flower opens it, the same app does write the file."""
    import subprocess

    trace = tmp_path / "trace"
    target = tmp_path / "opened"
    with zipfile.ZipFile(io.BytesIO(hostile_app(trace).content)) as bundle:
        bundle.extractall(target)
    program = "import sys; sys.path.insert(0, sys.argv[1]); import supernode.client_app"
    subprocess.run([sys.executable, "-c", program, str(target)], check=True)
    assert trace.exists()
