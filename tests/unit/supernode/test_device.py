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


def test_fewer_gpus_than_are_wanted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda", 2)
    with pytest.raises(TrainerError, match="gpus is 3, and this process sees 2: write gpus = 2, or give it more"):
        check_device("cuda", 3)
