"""How the values of an adapter become bytes, and bytes values: each codec by its name.

A name that ends in ``z`` is that of the codec before it with entropy coding over it: the same values in fewer bytes.
"""

from fedlora.errors import WireError
from fedlora.wire.codecs.blockwise import Blockwise
from fedlora.wire.codecs.codec import Codec
from fedlora.wire.codecs.entropy import EntropyCoded
from fedlora.wire.codecs.floating import BFloat16, Float16, Float32

__all__ = ["Codec", "codec_named"]

# The blocks are as short as B1 lets them be (docs/codecs.md): a quarter and an eighth of what stock Flower sends.
_PLAIN: tuple[Codec, ...] = (
    Float32(),
    Float16(),
    BFloat16(),
    Blockwise("int8", bits=8, block=128),
    Blockwise("int4", bits=4, block=256),
)
_BY_NAME = {codec.name: codec for codec in (*_PLAIN, *map(EntropyCoded, _PLAIN))}


def codec_named(name: str) -> Codec:
    """Return the codec called `name`.

    Raises
    ------
    WireError
        If there is none.
    """
    if name not in _BY_NAME:
        raise WireError(f"codec {name!r} is not one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
