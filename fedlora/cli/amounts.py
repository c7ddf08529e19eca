"""Sizes and times as people read them; what is not known is a dash."""

__all__ = ["DASH", "count", "duration", "number", "percent", "rounded", "size"]

DASH = "-"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with `digits` decimals."""
    return DASH if value is None else f"{value:,.{digits}f}"


def percent(ratio: float | None) -> str:
    """Return a share."""
    return DASH if ratio is None else f"{100 * ratio:.0f} %"


def count(value: float | None) -> str:
    """Return how many, in at most three digits and a letter above 9,999."""
    if value is None or value < 10_000:
        return number(value)
    scaled, letter = next((value / by, letter) for by, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= by)
    return f"{scaled:.{_digits(scaled)}f} {letter}"


def size(value: float | None) -> str:
    """Return bytes in the unit that leaves at most four digits."""
    if value is None:
        return DASH
    unit = 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.{_digits(value) if unit else 0}f} {UNITS[unit]}"


def rounded(value: float | None) -> str:
    """Return a number in three digits, or all of those before the point."""
    return DASH if value is None else f"{value:,.{_digits(value)}f}"


def _digits(value: float) -> int:
    """Return how many decimals make three digits."""
    return 2 if value < 9.995 else 1 if value < 99.95 else 0


def duration(seconds: float) -> str:
    """Return a time as people say it: two units at most."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{seconds // 60} min {seconds % 60} s" if seconds < 600 else f"{minutes} min"
    hours, days = minutes // 60, minutes // (24 * 60)
    return f"{hours} h {minutes % 60} min" if days == 0 else f"{days} d {hours % 24} h"
