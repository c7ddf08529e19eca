"""What was done to records before they came to stand in a shard: a part of its manifest, which quotes none of them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Division", "LeftOut", "Overlap", "Preparation", "name_of"]


def name_of(source: str) -> str:
    """Return the name of a file, shard or data set without the folders above it, fit to be printed."""
    name = Path(source).name or source
    return name if name.isprintable() else ascii(name)[1:-1]


@dataclass(frozen=True)
class LeftOut:
    """Rows that did not become records, by the first reason that applied.

    Attributes
    ----------
    empty : int
        Question or answer hold nothing that can be seen.
    missing : int
        A field is missing.
    no_text : int
        A field is no text.
    label : int
        The label is none of those that are known.
    no_id : int
        The field that the parts are made by is missing or empty.
    duplicate : int
        Question and answer repeat those of an earlier row.
    leak : int
        The row overlaps with an evaluation set.
    """

    empty: int = 0
    missing: int = 0
    no_text: int = 0
    label: int = 0
    no_id: int = 0
    duplicate: int = 0
    leak: int = 0

    @property
    def total(self) -> int:
        """All of them together."""
        return sum(dataclasses.astuple(self))


@dataclass(frozen=True)
class Overlap:
    """How many records, or rows that were left out for it, overlap with one evaluation set.

    Attributes
    ----------
    file : str
        Name of the evaluation set's file.
    sha256 : str
        Its hash.
    items : int
        How many items it has with a text that is long enough to compare.
    words : int
        Length of the word sequences that were compared.
    exact : int
        Rows whose question is a text of it.
    partial : int
        Rows that share a word sequence with it, or a whole text that is shorter than one, and whose question is none.
    """

    file: str
    sha256: str
    items: int
    words: int
    exact: int
    partial: int


@dataclass(frozen=True)
class Division:
    """By which rule records were divided among shards.

    Attributes
    ----------
    by : str
        The rule, as ``fedlora shard partition --by`` names it.
    part, parts : int
        Which of how many this is.
    seed : int
        What decided who got which record.
    alpha : float, optional
        Concentration, of a rule that has one.
    labels : int, optional
        Different labels of each part, of a rule that sets them.
    id_field : str, optional
        The field whose values stay together, of a rule that has one.
    """

    by: str
    part: int
    parts: int
    seed: int
    alpha: float | None = None
    labels: int | None = None
    id_field: str | None = None


@dataclass(frozen=True)
class Preparation:
    """One step from a source to a shard.

    Attributes
    ----------
    source : str
        Name of the file, the shard or the data set that was read.
    rows : int
        How many rows it had.
    left_out : LeftOut
        Those of them that did not become records.
    duplicates : int
        Rows that repeat question and answer of an earlier one, whether or not they were left out.
    contradictions : int
        Records that answer a question differently than the earlier ones; they stay.
    held_out : tuple of Overlap
        The evaluation sets that the rows were compared with.
    division : Division, optional
        How the records were then divided; all figures above are of the whole.
    """

    source: str
    rows: int
    left_out: LeftOut
    duplicates: int
    contradictions: int
    held_out: tuple[Overlap, ...] = ()
    division: Division | None = None
