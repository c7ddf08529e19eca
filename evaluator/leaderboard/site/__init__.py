"""The static site: pages that need no server, make no request, and hold to a strict content policy."""

from evaluator.leaderboard.site.build import build

__all__ = ["build"]
