"""What a trainer computes on."""

import torch

from fedlora.errors import TrainerError

__all__ = ["check_device"]

OR_CPU = 'or write device = "cpu" (containers: COMPOSE_PROFILES=cpu in .env)'


def check_device(name: str) -> None:
    """Check that the device `name`, ``cpu`` or ``cuda``, is there.

    Raises
    ------
    TrainerError
        If it is not; says whether this build of torch or the driver is what is missing.
    """
    if name != "cuda" or torch.cuda.is_available():
        return
    if torch.version.cuda is None:
        raise TrainerError(
            f"device is cuda, and torch {torch.__version__} is a build for CPUs; install one for CUDA (containers: "
            f"make images-cuda), {OR_CPU}"
        )
    raise TrainerError(
        "device is cuda, and there is no GPU with a driver: look with nvidia-smi, in a container for NVIDIA's "
        f"container toolkit as well, {OR_CPU}"
    )
