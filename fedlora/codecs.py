"""The names of the codecs in which an adapter may travel; how each works stands in ``fedlora/wire/codecs``.

They stand apart from the codecs because a federation's file is read without numpy.
"""

__all__ = ["CODECS", "LOSSLESS"]

CODECS = ("fp32", "fp16", "bf16", "int8", "int4", "fp32z", "fp16z", "bf16z", "int8z", "int4z")
LOSSLESS = ("fp32", "fp32z")
