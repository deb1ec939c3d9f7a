"""The door to the network: an `httpx.Request` out, an answer or an error in.

    client      one request out, one answer in, within deadlines and size limits
    request     how a request of the protocol becomes an `httpx.Request`
    pool        which connection a request goes over
    lane        a connection of our own, as an `httpx.AsyncBaseTransport`
    foreign     the caller's own transport
    connection  one HTTP/1.1 connection on asyncio: how it is made (dial, tls), what moves over it (http11, exchange),
                and answers that the parser is too strict for (lenient)

No httpx client is used, only its transports: a client would log URLs, follow the proxies of the environment, and keep
cookies. Secrets are put into a request here and nowhere else.
"""

from .client import Deadlines, HttpClient
from .connection.dial import Connector, NameService
from .pool import ConnectionPool

__all__ = ["ConnectionPool", "Connector", "Deadlines", "HttpClient", "NameService"]
