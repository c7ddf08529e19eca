"""The leaderboard: signed entries that anybody can check again, and the static site that ranks them. No torch."""
