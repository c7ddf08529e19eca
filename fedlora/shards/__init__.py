"""Private shards: reading data files and dividing them among sites."""

from fedlora.shards.records import Record, read_records, write_records
from fedlora.shards.split import hold_out, partition

__all__ = ["Record", "hold_out", "partition", "read_records", "write_records"]
