"""Carrying the kit to machines without a network: images, charts, wheels and a base model, with their hashes."""

from fedlora.air_gap.contents import PARTS, Contents, Part, make
from fedlora.air_gap.images import ROLES, Image, find_images
from fedlora.air_gap.manifest import BundleManifest, verify

__all__ = ["PARTS", "ROLES", "BundleManifest", "Contents", "Image", "Part", "find_images", "make", "verify"]
