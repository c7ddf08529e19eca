"""Keys and certificates: a CA, certificates for the SuperLink, admins and evaluators, a node key for each site."""

from fedlora.pki.certificates import (
    Authority,
    create_authority,
    issue_admin_certificate,
    issue_evaluator_certificate,
    issue_server_certificate,
    key_fingerprint,
)
from fedlora.pki.node_keys import create_node_key, public_key_pem
from fedlora.pki.secret_files import create_secret, private_directory, write_private

__all__ = [
    "Authority",
    "create_authority",
    "create_node_key",
    "create_secret",
    "issue_admin_certificate",
    "issue_evaluator_certificate",
    "issue_server_certificate",
    "key_fingerprint",
    "private_directory",
    "public_key_pem",
    "write_private",
]
