"""Writing the site: the same entries give the same bytes."""

from collections.abc import Sequence
from pathlib import Path

from evaluator.leaderboard.columns import BOARDS
from evaluator.leaderboard.site.about import about_page
from evaluator.leaderboard.site.board import board_page, combined_page
from evaluator.leaderboard.site.compare import compare_page
from evaluator.leaderboard.site.entry import entry_page
from evaluator.leaderboard.site.frame import page
from evaluator.leaderboard.site.markup import Child
from evaluator.leaderboard.standings import Entry
from fedlora.errors import EntryError
from fedlora.folders import new_folder

__all__ = ["build"]

NAME = "Federated LoRA leaderboard"
GENERATOR = b'<meta name="generator" content="fedlora leaderboard build">'


def build(entries: Sequence[Entry], to: Path) -> list[str]:
    """Write the site of `entries`, which were checked, into the folder `to`, and return the names of its files.

    A site that stands there is replaced.

    Raises
    ------
    EntryError
        If something else stands there, or the disk does not take it.
    """
    contents: dict[str, tuple[str, Child]] = {"index.html": ("All domains", combined_page(entries))}
    for board in BOARDS.values():
        contents[f"{board.domain}.html"] = (board.title, board_page(board, entries))
    for entry in entries:
        contents[entry.page] = (entry.manifest.title, entry_page(entry, entries))
    contents["compare.html"] = ("Compare two entries", compare_page(entries))
    contents["about.html"] = ("How to read it", about_page())
    with new_folder(to, error=EntryError, replaceable=_is_site) as unfinished:
        for name, (title, main) in contents.items():
            (unfinished / name).write_text(page(name, f"{title} \u00b7 {NAME}", main), encoding="utf-8")
            (unfinished / name).chmod(0o644)
        unfinished.chmod(0o755)  # for a web server, too
    return list(contents)


def _is_site(folder: Path) -> bool:
    """Say whether a folder holds pages of ours and nothing else."""
    return all(
        entry.is_file() and not entry.is_symlink() and entry.suffix == ".html" and GENERATOR in entry.read_bytes()
        for entry in folder.iterdir()
    )
