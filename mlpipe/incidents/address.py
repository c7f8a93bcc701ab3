"""Which addresses a message may go to: a server must not be made to call its own network by accident."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
"""IPv6 that carries an IPv4 address in its last four bytes: NAT64 (RFC 6052) and the old compatible form (RFC 4291)."""

PRIVATE = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
    )
)
"""What a setting admits: this machine, private networks (RFC 1918), a provider's shared one (RFC 6598), unique-local
IPv6 (RFC 4193)."""

UNUSED = tuple(ip_network(network) for network in ("3fff::/20", "192.88.99.0/24"))
"""Documentation (RFC 9637) and the former 6to4 relays (RFC 7526), which this Python does not know yet."""


def refusal(address: str, *, allow_private: bool) -> str | None:
    """Say why nothing is sent to an address, or None.

    Parameters
    ----------
    address : str
        IP address as the resolver gave it.
    allow_private : bool
        Admit those of `PRIVATE`. Link-local addresses (cloud metadata answer there), multicast, reserved and
        unspecified ones are never admitted: nobody receives messages there.

    Examples
    --------
    >>> refusal("93.184.215.14", allow_private=False) is None
    True
    >>> refusal("::ffff:10.0.0.7", allow_private=False)
    '10.0.0.7 is a private address'
    >>> refusal("169.254.169.254", allow_private=True)
    '169.254.169.254 is a link-local address'
    """
    ip = carried(ip_address(address))
    if allow_private and any(ip in network for network in PRIVATE):
        return None
    names = {
        "an unspecified": ip.is_unspecified,
        "a loopback": ip.is_loopback,
        "a link-local": ip.is_link_local,
        "a multicast": ip.is_multicast,
        "a reserved": ip.is_reserved,
        "a site-local": isinstance(ip, IPv6Address) and ip.is_site_local,
        "a private": ip.is_private or any(ip in network for network in UNUSED),
        "not a public": not ip.is_global,
    }
    name = next((name for name, holds in names.items() if holds), None)
    return f"{ip} is {name} address" if name else None


def carried(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself.

    Examples
    --------
    >>> carried(ip_address("64:ff9b::a9fe:a9fe")), carried(ip_address("2002:7f00:1::"))
    (IPv4Address('169.254.169.254'), IPv4Address('127.0.0.1'))
    """
    if isinstance(ip, IPv4Address) or ip.is_loopback or ip.is_unspecified:
        return ip
    tunnelled = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if tunnelled is None and any(ip in network for network in TRANSLATED):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return tunnelled or ip
