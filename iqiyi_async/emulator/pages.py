"""The emulator's page at `/`, and what `/` says to programs."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request

from .replies import TEXT, Reply
from .routes import ROUTES

_FILES = {path.name: path.read_bytes() for path in Path(__file__).with_name("page").iterdir() if path.is_file()}
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
#: Everything comes from the emulator itself, and nothing may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


def front_page(request: Request, base: str) -> Reply:
    """The page for browsers, a text that says where things are for everybody else."""
    if "text/html" not in request.headers.get("accept", ""):
        return Reply(_directory(base).encode(), headers=dict(TEXT))
    headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": _POLICY, **_GUARDED}
    return Reply(_FILES["index.html"], headers=headers)


def asset(name: str) -> Reply:
    """A file of the page: page.css or page.js."""
    headers = {"content-type": _TYPES[Path(name).suffix], "cross-origin-resource-policy": "same-origin", **_GUARDED}
    return Reply(_FILES[name], headers=headers)


def _directory(base: str) -> str:
    operations = "\n".join(
        f"  {'|'.join(route.methods):9} {path:36} {route.operation}" for path, route in ROUTES.items()
    )
    return f"""An emulator of the iQIYI open-platform video cloud, for tests and trials on this machine.

Open {base}/ in a browser to watch it at work.

Operations of the service, all at this address:
{operations}

Control, as JSON:
  GET       /__emulator__/health                 that it is up, and its clock
  GET       /__emulator__/state                  videos, tokens (counted), counters, violations
  GET       /__emulator__/history                the latest requests
  GET       /__emulator__/events                 the same, live, as server-sent events
  POST      /__emulator__/clock                  {{"advance": seconds}}
  GET|POST|DELETE /__emulator__/faults           the plan of faults
  POST      /__emulator__/tokens                 {{"spoil": "expired"}} or "revoked"
  POST      /__emulator__/reset                  forget everything
  GET       /__emulator__/files/ID/content       the bytes of a video
  POST      /__emulator__/files/ID/outcome       {{"outcome": "review_failed"}}
"""
