"""The door to the network.

    network     what all connections of a client share
    connection  one request out, one answer in, within deadlines and size limits, over whatever carries it
    carrier     what carriers promise. There are two:
    direct      ... a connection of our own
    borrowed    ... and an httpx transport of the caller's; the only module that knows httpx
    http11      one HTTP/1.1 connection on asyncio, exchange after exchange
    exchange    one request and its answer, as far as they have come, and their clock
    outcome     what it comes to: an answer, or the reason why there is none
    dial        a connected socket for a name
    frames      exceptions without the frames that hold secrets

What must not be here: what an answer means, and whether to try again.

No httpx client is used, only its transports: a client would log every URL, follow the environment's proxies, and keep
cookies. Who brings none does not even load it. Secrets are put into a request here and nowhere else, and nothing that
leaves this door (errors, their causes, their tracebacks) holds one.
"""

from .connection import Connection
from .frames import bare, chain
from .network import Network, Timeouts, check_transport

__all__ = ["Connection", "Network", "Timeouts", "bare", "chain", "check_transport"]
