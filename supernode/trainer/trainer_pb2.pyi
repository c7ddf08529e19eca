from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Adapter(_message.Message):
    __slots__ = ("header", "blocks")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    header: str
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, header: _Optional[str] = ..., blocks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("recipe_sha256",)
    RECIPE_SHA256_FIELD_NUMBER: _ClassVar[int]
    recipe_sha256: str
    def __init__(self, recipe_sha256: _Optional[str] = ...) -> None: ...

class Description(_message.Message):
    __slots__ = ("spec", "policy_sha256", "examples", "magnitudes")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    POLICY_SHA256_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    MAGNITUDES_FIELD_NUMBER: _ClassVar[int]
    spec: str
    policy_sha256: str
    examples: int
    magnitudes: Adapter
    def __init__(self, spec: _Optional[str] = ..., policy_sha256: _Optional[str] = ..., examples: _Optional[int] = ..., magnitudes: _Optional[_Union[Adapter, _Mapping]] = ...) -> None: ...

class ConfigureRequest(_message.Message):
    __slots__ = ("run", "epoch", "recipe_sha256", "spec_sha256", "upload_codec", "broadcast_codec")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RECIPE_SHA256_FIELD_NUMBER: _ClassVar[int]
    SPEC_SHA256_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_CODEC_FIELD_NUMBER: _ClassVar[int]
    BROADCAST_CODEC_FIELD_NUMBER: _ClassVar[int]
    run: str
    epoch: int
    recipe_sha256: str
    spec_sha256: str
    upload_codec: str
    broadcast_codec: str
    def __init__(self, run: _Optional[str] = ..., epoch: _Optional[int] = ..., recipe_sha256: _Optional[str] = ..., spec_sha256: _Optional[str] = ..., upload_codec: _Optional[str] = ..., broadcast_codec: _Optional[str] = ...) -> None: ...

class Configuration(_message.Message):
    __slots__ = ("policy_sha256",)
    POLICY_SHA256_FIELD_NUMBER: _ClassVar[int]
    policy_sha256: str
    def __init__(self, policy_sha256: _Optional[str] = ...) -> None: ...

class TrainRequest(_message.Message):
    __slots__ = ("run", "epoch", "round", "adapter", "counted")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    run: str
    epoch: int
    round: int
    adapter: Adapter
    counted: int
    def __init__(self, run: _Optional[str] = ..., epoch: _Optional[int] = ..., round: _Optional[int] = ..., adapter: _Optional[_Union[Adapter, _Mapping]] = ..., counted: _Optional[int] = ...) -> None: ...

class Update(_message.Message):
    __slots__ = ("update", "figures", "policy_sha256")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    POLICY_SHA256_FIELD_NUMBER: _ClassVar[int]
    update: Adapter
    figures: _containers.ScalarMap[str, float]
    policy_sha256: str
    def __init__(self, update: _Optional[_Union[Adapter, _Mapping]] = ..., figures: _Optional[_Mapping[str, float]] = ..., policy_sha256: _Optional[str] = ...) -> None: ...

class MetricsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MetricsResponse(_message.Message):
    __slots__ = ("samples",)
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[MetricSample]
    def __init__(self, samples: _Optional[_Iterable[_Union[MetricSample, _Mapping]]] = ...) -> None: ...

class MetricSample(_message.Message):
    __slots__ = ("name", "labels", "value")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    labels: _containers.ScalarMap[str, str]
    value: float
    def __init__(self, name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., value: _Optional[float] = ...) -> None: ...
