"""A federation as processes on this machine: its credentials, its parts, and the supervisor that keeps them alive."""
