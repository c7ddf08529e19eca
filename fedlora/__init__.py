"""fedlora: federated LoRA fine-tuning on data that may not leave its owners."""

__version__: str
__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: the library for that costs `fedlora --help` a fifth of its time."""
    if name == "__version__":
        from importlib.metadata import version

        globals()[name] = version("fedlora")  # each header asks for it
        return str(globals()[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
