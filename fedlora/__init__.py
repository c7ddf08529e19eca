"""fedlora: federated LoRA fine-tuning on data that may not leave its owners."""

from importlib.metadata import version

__version__ = version("fedlora")
__all__ = ["__version__"]
