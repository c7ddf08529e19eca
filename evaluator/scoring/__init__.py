"""The numerics of scoring; torch lives here."""
