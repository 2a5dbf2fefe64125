"""Whose certificates are believed."""

from functools import cache
from ssl import SSLContext

import httpx2


@cache
def trust() -> SSLContext:
    """The machine's certificates: reading them takes longer than all else that a client needs."""
    return httpx2.create_ssl_context()
