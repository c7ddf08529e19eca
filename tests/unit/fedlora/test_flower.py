"""Our bundle and command lines against Flower's own parsers; and the parts of Flower that we touch, by name."""

import importlib
import inspect
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fedlora import flower

OWN = flower.SuperLinkFiles(*(Path(f"/x/{name}") for name in ("ca", "crt", "key", "secret", "db")))


def test_flower_installs_our_bundle_under_its_hash(tmp_path, monkeypatch):
    from flwr.cli.install import install_from_fab

    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    installed = install_from_fab(flower.app_bundle().content, skip_prompt=True)
    assert installed.name.endswith(flower.app_bundle().sha256[:8])
    assert sorted(file.name for file in installed.rglob("*") if file.is_file()) == ["pyproject.toml"]


def test_the_bundle_is_the_same_bytes_in_another_process():
    program = "from fedlora.flower import app_bundle; print(app_bundle().sha256)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == flower.app_bundle().sha256


def test_the_bundle_names_components_of_the_installed_kit():
    import tomllib
    from importlib.resources import files

    app = tomllib.loads((files("fedlora") / "app" / "pyproject.toml").read_text())
    for kind, reference in app["tool"]["flwr"]["app"]["components"].items():
        module, name = reference.split(":")
        assert type(getattr(importlib.import_module(module), name)).__name__.lower() == kind


def test_flowers_superlink_takes_our_arguments():
    from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink

    command = flower.superlink_command(OWN, fleet="127.0.0.1:1", http="127.0.0.1:2")
    arguments = _parse_args_run_superlink().parse_args(command[1:])
    assert (arguments.isolation, arguments.enable_supernode_auth, arguments.insecure) == ("process", True, False)
    assert arguments.runtime_dependency_install is False
    assert (arguments.database, arguments.fleet_api_address, arguments.port) == ("/x/db", "127.0.0.1:1", 2)


def test_flowers_supernode_takes_our_arguments():
    from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

    command = flower.supernode_arguments(
        superlink="h:1", ca_certificate=Path("ca"), node_key=Path("k"), runtime_port=5, superexec_secret=Path("s")
    )
    arguments = _parse_args_run_supernode().parse_args(command[1:])
    assert (arguments.isolation, arguments.host, arguments.port) == ("process", "127.0.0.1", 5)
    assert arguments.runtime_dependency_install is False
    assert arguments.insecure is False


def test_every_program_exists_in_this_installation():
    for name in ("flower-superlink", "flower-superexec", "flwr-serverapp"):
        assert shutil.which(name, path=flower.environment(Path("h"))["PATH"].split(":")[0]), name


# What the seam, the worker, the round engine and the control client use of Flower, with the parameters they rely on.
# When the pin moves and this fails, the module on the right is the place to look.
TOUCHED = [
    ("flwr.supernode.start_client_internal", "grpc_request_response", "adapter_cls", "supernode/seam.py"),
    ("flwr.supernode.start_client_internal", "start_client_internal", "state_factory", "supernode/seam.py"),
    ("flwr.supernode.start_client_internal", "time", None, "supernode/seam.py"),
    ("flwr.supernode.start_client_internal", "pull_objects", "initial_backoff", "supernode/seam.py"),
    ("flwr.supercore.inflatable.inflatable_object", "get_object_tree", "obj", "supernode/seam.py"),
    ("flwr.supercore.inflatable.inflatable_utils", "ObjectUnavailableError", None, "supernode/seam.py"),
    ("flwr.supercore.inflatable.inflatable_object", "get_all_nested_objects", "obj", "supernode/seam.py"),
    ("flwr.supercore.run", "RunNotRunningException", None, "supernode/seam.py"),
    ("flwr.supercore.fab", "Fab", "hash_str", "supernode/guard.py"),
    ("flwr.supercore.run", "Run", "fab_hash", "supernode/guard.py"),
    ("flwr.supercore.run", "Run", "primary_task_type", "supernode/guard.py"),
    ("flwr.proto.fleet_pb2_grpc", "FleetStub", "channel", "supernode/fleet.py"),
    ("flwr.common.constant", "HEARTBEAT_DEFAULT_INTERVAL", None, "supernode/lost_answers.py"),
    ("flwr.proto.heartbeat_pb2", "SendNodeHeartbeatRequest", None, "supernode/lost_answers.py"),
    ("flwr.supercore.inflatable.inflatable_object", "iterate_object_tree", "tree", "supernode/lost_answers.py"),
    ("flwr.common.constant", "PUBLIC_KEY_HEADER", None, "supernode/doctor/admission.py"),
    ("flwr.common.constant", "SIGNATURE_HEADER", None, "supernode/doctor/admission.py"),
    ("flwr.common.constant", "TIMESTAMP_HEADER", None, "supernode/doctor/admission.py"),
    ("flwr.common.constant", "TIMESTAMP_TOLERANCE", None, "supernode/doctor/admission.py"),
    ("flwr.common.constant", "SYSTEM_TIME_TOLERANCE", None, "supernode/doctor/admission.py"),
    ("flwr.supercore.primitives.asymmetric", "sign_message", "private_key", "supernode/doctor/admission.py"),
    ("flwr.supercore.primitives.asymmetric", "public_key_to_bytes", "public_key", "supernode/doctor/admission.py"),
    ("flwr.supernode.runtime.run_clientapp", "pull_task_input", "client", "supernode/worker.py"),
    ("flwr.supernode.runtime.run_clientapp", "push_message", "message", "supernode/worker.py"),
    ("flwr.supernode.runtime.run_clientapp", "pull_and_inflate_object_from_tree", "backoff_cap", "supernode/worker.py"),
    ("flwr.supernode.runtime.run_clientapp", "push_task_output", "sub_status", "supernode/worker.py"),
    ("flwr.supercore.heartbeat", "make_task_heartbeat_fn_http", None, "supernode/worker.py"),
    ("flwr.supercore.superexec.run_superexec", "_SUPEREXEC_AUTH_METHODS", None, "supernode/worker.py"),
    ("flwr.superlink.grid.http_grid", "HttpGrid", "root_certificates", "superlink/replies.py"),
    ("flwr.supercore.inflatable.inflatable_utils", "pull_objects", "pull_object_fn", "superlink/replies.py"),
    ("flwr.supercore.inflatable.inflatable_utils", "inflate_object_from_contents", None, "superlink/replies.py"),
    ("flwr.proto.message_pb2", "ConfirmMessageReceivedRequest", None, "superlink/replies.py"),
    ("flwr.supercore.sql_mixin", "SQLITE_PRAGMAS", None, "superlink/engine.py"),
    ("flwr.supercore.control", "ControlHttpClient", None, "superlink/control.py"),
    ("flwr.proto.control_pb2", "UnregisterNodeRequest", None, "superlink/control.py"),
]


@pytest.mark.parametrize(("module", "name", "parameter", "ours"), TOUCHED)
def test_what_we_touch_of_flower_is_where_it_was(module, name, parameter, ours):
    found = getattr(importlib.import_module(module), name, None)
    assert found is not None, f"{ours} uses {module}.{name}, which flwr {version('flwr')} does not have"
    if parameter:
        assert parameter in inspect.signature(found).parameters, f"{ours} relies on {module}.{name}({parameter})"


def test_flowers_loop_looks_the_factory_up_by_the_name_that_we_replace():
    import flwr.supernode.start_client_internal as loop

    source = inspect.getsource(loop._init_connection)
    assert "connection, error_type = grpc_request_response, RpcError" in source


def test_the_pin_is_the_version_that_the_seam_was_written_for():
    assert version("flwr").startswith("1.39."), "docs/design.md, section 3: what to check before the pin moves"
