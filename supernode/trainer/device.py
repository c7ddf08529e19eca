"""What a trainer computes on."""

import torch

from fedlora.errors import TrainerError
from fedlora.recipes import Recipe
from supernode.trainer.optimizer import check_optimizer

__all__ = ["check_device", "check_recipe"]

OR_CPU = 'or write device = "cpu" (containers: COMPOSE_PROFILES=cpu in .env)'


def check_device(name: str, gpus: int = 1) -> None:
    """Check that the device `name`, ``cpu`` or ``cuda``, is there; with ``cuda``, so many GPUs.

    Raises
    ------
    TrainerError
        If it is not; says whether this build of torch or the driver is what is missing.
    """
    if name != "cuda":
        return
    if torch.cuda.is_available():
        if (found := torch.cuda.device_count()) < gpus:
            raise TrainerError(f"gpus is {gpus}, and this process sees {found}: write gpus = {found}, or give it more")
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


def check_recipe(recipe: Recipe, name: str) -> None:
    """Check that the device `name` can do what `recipe` asks for.

    Raises
    ------
    TrainerError
        If it cannot; says what.
    """
    if (recipe.adapter, recipe.base_precision, name) == ("dora", "int8", "cpu"):
        # PEFT moves the weights when it reads them, and bitsandbytes then loses their scales.
        raise TrainerError(
            f"recipe {recipe.name}: a DoRA adapter on weights of int8 cannot be trained on a CPU; allowed: the other "
            "base precisions, the other adapters, or device cuda"
        )
    check_optimizer(recipe, name)
