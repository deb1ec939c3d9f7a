"""The door to the network: the only rooms that know httpx.

    network   one request out, one answer in, within deadlines and size limits
    lane      a connection as an httpx transport
    http11    one HTTP/1.1 connection on asyncio, exchange after exchange
    exchange  one request and its answer, as far as they have come, and their clock
    dial      a connected socket for a name
    frames    exceptions without the frames that hold secrets

What must not be here: what an answer means, and whether to try again.

No httpx client is used, only its transports: a client would log every URL, follow the environment's proxies, and keep
cookies. Secrets are put into a request here and nowhere else, and nothing that leaves this door (errors, their
causes, their tracebacks) holds one.
"""

import httpx

from .frames import bare, chain
from .network import Connection, Network, Timeouts

#: What a caller may bring in place of this library's own connections.
Transport = httpx.AsyncBaseTransport

__all__ = ["Connection", "Network", "Timeouts", "Transport", "bare", "chain"]
