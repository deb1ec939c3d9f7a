"""The door to the network: an `httpx.Request` out, an answer or an error in.

    client      one request out, one answer in, within deadlines and size limits
    request     how a request of the protocol becomes an `httpx.Request`
    pool        which connection a request goes over
    lane        a connection of our own, as an `httpx.AsyncBaseTransport`
    foreign     the caller's own transport
    http11      one HTTP/1.1 connection on asyncio
    exchange    one request and its answer, as far as they have come
    dial        names, addresses and TLS

No httpx client is used, only its transports: a client would log URLs, follow the proxies of the environment, and keep
cookies. Secrets are put into a request here and nowhere else.
"""

from .client import Deadlines, HttpClient
from .connection.dial import Connector, NameService
from .pool import ConnectionPool

__all__ = ["ConnectionPool", "Connector", "Deadlines", "HttpClient", "NameService"]
