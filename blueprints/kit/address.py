"""Where a request comes from: `X-Forwarded-For` counts only behind proxies that the operator trusts."""

import ipaddress
from functools import lru_cache

from flask import current_app, request


def client_address() -> str:
    """The address of the client: the nearest one that is not a trusted proxy's."""
    peer = request.remote_addr or "unknown"
    proxies = tuple(current_app.extensions["services"].settings.proxies)
    if not proxies or not _trusted(peer, proxies):
        return peer
    for hop in reversed([part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]):
        if not hop or not _is_address(hop):
            return peer
        if not _trusted(hop, proxies):
            return hop
        peer = hop
    return peer


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _trusted(address: str, proxies: tuple[str, ...]) -> bool:
    if not _is_address(address):
        return False
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(proxy, strict=False) for proxy in proxies)
