"""Adapter folders in PEFT's layout: reading them, measuring them, telling about them. No torch."""

from fedlora.adapters.folder import Adapter, Factors, open_adapter

__all__ = ["Adapter", "Factors", "open_adapter"]
