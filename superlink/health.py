"""A container's health check: ``python -m superlink.health ca.crt URL ...``.

Exit code 0 if at every address somebody with this federation's certificate answers: an HTTP status below 500
for ``https://HOST:PORT/PATH``, a TLS handshake for ``grpcs://HOST:PORT``. Flower's programs run in these containers, so
it is also here that an image of another version than its compose file's is noticed. Little is imported: a check every
few seconds must cost little.
"""

import http.client
import socket
import ssl
import sys
from urllib.parse import urlsplit

from fedlora.environment import check_rendered_version
from fedlora.errors import ConfigurationError

TIMEOUT_SECONDS = 5.0


def main(arguments: list[str]) -> int:
    """Ask at each address; return the exit code."""
    try:
        check_rendered_version()
    except ConfigurationError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    certificate, *addresses = arguments
    try:
        context = ssl.create_default_context(cafile=certificate)
        for address in addresses:
            _ask(address, context)
    except (OSError, http.client.HTTPException) as error:  # ssl.SSLError is an OSError
        print(f"{address if addresses else certificate}: {type(error).__name__}: {error}")
        return 1
    print("answers")
    return 0


def _ask(address: str, context: ssl.SSLContext) -> None:
    url = urlsplit(address)
    host, port = str(url.hostname), url.port
    if url.scheme == "grpcs":
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, port), TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    try:
        connection.request("GET", url.path or "/")
        status = connection.getresponse().status
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise http.client.HTTPException(f"status {status}")
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
