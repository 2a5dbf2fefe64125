"""Which addresses are of the public internet, and which lead inside, in whatever form."""

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(network) for network in text.split())


PUBLIC = _networks("0.0.0.0/0 2000::/3")
INSIDE = _networks("""
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
    224.0.0.0/3 168.63.129.16/32
    2001::/23 2001:db8::/32 2002::/16 3fff::/20
""")
"""Of IANA's registries what is private, shared, local, reserved, for documents or for many; and the
one address at which Azure answers its machines. IPv6 outside 2000::/3 is none of the public, and
so no form that has an IPv4 address in it: mapped, compatible, NAT64; inside it 6to4 and Teredo."""
INSIDE_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "metadata.goog")
NUMBER = re.compile(r"([0-9]+|0[xX][0-9A-Fa-f]*)")
NAME = re.compile(r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{1,63}")


def is_public(address: str) -> bool:
    try:
        read = ip_address(address)
    except ValueError:
        return False
    return _is_in(read, PUBLIC) and not _is_in(read, INSIDE)


def is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def may_be_public(host: str) -> bool:
    """Whether to look at the addresses of this host at all.

    A number for a last label is an address in disguise, as in 2130706433 or 0x7f.1; and no name of
    the public internet is a single word, or ends in what is kept for networks of one's own.
    """
    if is_address(host):
        return True
    if not NAME.fullmatch(host) or NUMBER.fullmatch(host.rpartition(".")[2]):
        return False
    return not f".{host}".endswith(tuple(f".{name}" for name in INSIDE_NAMES))


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
