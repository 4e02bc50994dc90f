"""Which addresses a user may name: public ones, and private ones that the operator lists.

A name is resolved and every one of its addresses must pass; the connection then goes to the address that
was checked, so a name that answers differently a moment later gains nothing.
"""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import connection as dialling

from services import connections
from services.errors import Malformed
from services.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Prefixes that carry an IPv4 address inside: a translator would lead it to a private network.
TRANSLATED = [
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("2002::/16"),
]


class Guard:
    """Checks URLs and addresses by `ALLOW_HTTP_UPSTREAMS` and `ALLOWED_UPSTREAMS`."""

    def __init__(self, settings: Settings) -> None:
        self._schemes = {"https", "http"} if settings.allow_http_upstreams else {"https"}
        self._networks = [network for text in settings.upstreams if (network := _network(text))]
        # `[::1]:8000` is written with brackets, and names come without them.
        self._hosts = {
            text.lower().replace("[", "").replace("]", "") for text in settings.upstreams if not _network(text)
        }

    def check_url(self, url: str, *, plain_http: bool = False, field: str = "url") -> None:
        """Raise Malformed unless a user may name *url*; resolves its host.

        *plain_http* takes http in any case; *field* is what the error says the address was sent as.
        """
        try:
            self._check_url(url, plain_http=plain_http)
        except Malformed as error:
            error.details["field"] = field
            raise

    def _check_url(self, url: str, *, plain_http: bool) -> None:
        parts = _split(url)
        if parts.scheme not in self._schemes | ({"http"} if plain_http else set()):
            raise _refused("only https addresses are taken here", "仅支持 https 地址")
        self.addresses(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of *host*, all of them allowed. Raises Malformed when one is not."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _refused("its host is not known", "无法解析主机名") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        named = {host.lower(), f"{host.lower()}:{port}"} & self._hosts
        if not named and not all(self._allowed(ipaddress.ip_address(text.partition("%")[0])) for text in addresses):
            raise _refused("it leads to an address inside", "该地址指向内部网络")
        return addresses

    def _allowed(self, address: Address) -> bool:
        if any(address in network for network in self._networks if network.version == address.version):
            return True
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped:
                return self._allowed(address.ipv4_mapped)
            # Python takes the old site-local addresses for public ones.
            if address.is_site_local or any(address in network for network in TRANSLATED):
                return False
        return address.is_global and not address.is_multicast and not address.is_reserved


def open_guarded_pool(guard: Guard) -> urllib3.PoolManager:
    """A pool whose connections go to addresses that *guard* has checked, and to no other."""

    class GuardedHTTP(_Checked, connections.WatchedHTTPConnection):
        _guard = guard

    class GuardedHTTPS(_Checked, connections.WatchedHTTPSConnection):
        _guard = guard

    class HTTPPool(HTTPConnectionPool):
        ConnectionCls = GuardedHTTP

    class HTTPSPool(HTTPSConnectionPool):
        ConnectionCls = GuardedHTTPS

    pool = urllib3.PoolManager(maxsize=connections.CONNECTIONS_A_HOST, retries=False)
    pool.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}
    return pool


class _Checked:
    """Dials an address that was checked; TLS goes on verifying the host's name."""

    _guard: Guard

    def _new_conn(self) -> socket.socket:
        host, port = self.host, self.port  # type: ignore[attr-defined]
        failed: Exception = OSError("it has no address")
        for address in self._guard.addresses(host, port):
            try:
                return dialling.create_connection(
                    (address, port),
                    self.timeout,  # type: ignore[attr-defined]
                    socket_options=self.socket_options,  # type: ignore[attr-defined]
                )
            except OSError as error:  # Where there is no IPv6, a name may still have an address of it.
                failed = error
        if isinstance(failed, TimeoutError):
            raise ConnectTimeoutError(self, f"Connection to {host} timed out") from failed
        raise NewConnectionError(self, f"Failed to connect to {host}") from failed  # type: ignore[arg-type]


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # It is parsed when it is asked for.
    except ValueError as error:
        raise _refused("it is not a URL", "不是有效的 URL") from error
    if not parts.hostname or any(character <= " " or character == "\\" for character in url):
        raise _refused("it is not a URL", "不是有效的 URL")
    if parts.username is not None or parts.password is not None:
        raise _refused("it must not hold a user or a password", "不能包含用户名或密码")
    return parts


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _refused(en: str, zh: str) -> Malformed:
    return Malformed(
        f"This address cannot be called: {en}.",
        f"无法访问该地址：{zh}。",
        details={"field": "url", "reason": "url_refused"},
    )
