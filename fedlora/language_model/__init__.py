"""Base models and prompts. Nothing here imports torch before it is asked to convert a model."""

from fedlora.language_model.base_model import BaseModel
from fedlora.language_model.cache import DEFAULT_BASE_MODEL, obtain

__all__ = ["DEFAULT_BASE_MODEL", "BaseModel", "obtain"]
