"""A GPU that is asked for and not there is said by name, before anything long is done."""

import pytest
import torch

from fedlora.errors import TrainerError
from supernode.trainer.device import check_device


def test_the_cpu_is_always_there():
    check_device("cpu")


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (None, f"device is cuda, and torch {torch.__version__} is a build for CPUs; install one for CUDA"),
        ("12.8", "device is cuda, and there is no GPU with a driver: look with nvidia-smi"),
    ],
)
def test_no_gpu(build, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", build)
    with pytest.raises(TrainerError) as caught:
        check_device("cuda")
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith('or write device = "cpu" (containers: COMPOSE_PROFILES=cpu in .env)')
