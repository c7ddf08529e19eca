"""Private shards: reading data files, folders with a manifest, and dividing records among sites."""

from fedlora.shards.records import Record, read_records, write_records
from fedlora.shards.shard import Shard, iterate_records, load_records, open_shard
from fedlora.shards.split import hold_out, partition

__all__ = [
    "Record",
    "Shard",
    "hold_out",
    "iterate_records",
    "load_records",
    "open_shard",
    "partition",
    "read_records",
    "write_records",
]
