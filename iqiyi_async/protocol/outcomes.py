"""shim"""

from ..errors import *


def outcome_unknown(error: VideoCloudError) -> bool:
    if isinstance(error, TransportError):
        return error.sent
    if isinstance(error, ServiceUnavailableError):
        return error.code not in ("HTTP 429", "HTTP 503", "A21331")
    return isinstance(error, ResponseError)


def is_about_token(error):
    return error.code in ("A21327", "A21332", "HTTP 401")
