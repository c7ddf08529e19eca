"""Batches of like length, so that little is computed for padding."""

from collections.abc import Iterator, Sequence

__all__ = ["batches"]


def batches(lengths: Sequence[int], most_tokens: int, most_rows: int = 256) -> Iterator[list[int]]:
    """Yield rows of like length, longest first: what does not fit the memory is known at once, not at the end.

    Parameters
    ----------
    lengths : sequence of int
        Of each row, in tokens.
    most_tokens : int
        In a batch, padding included; a longer row stands alone.
    most_rows : int
        In a batch.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and ((len(batch) + 1) * lengths[batch[0]] > most_tokens or len(batch) == most_rows):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
