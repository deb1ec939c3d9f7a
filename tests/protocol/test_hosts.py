"""Which host may be given what: every spelling of an address that leads where it must not."""

from __future__ import annotations

import ipaddress
import json
import tracemalloc

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.config import Endpoints
from iqiyi_async.errors import ConfigurationError, ResponseError
from iqiyi_async.protocol import hosts, uploads
from iqiyi_async.protocol.wire import Secrets
from iqiyi_async.transport.request import build_request

from .table import VAULT, answer

# Hosts as they stand in a URL. None of them may be reached while the configured service is public.
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "127.0.0.1.", "0.0.0.0", "0.255.255.255", "localhost",
    "LOCALHOST", "localhost.", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "foo.localhost",
    "a.local", "db.internal", "metadata.google.internal", "nas.lan", "x.home.arpa", "X.LOCAL.", "10.0.0.1",
    "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.0.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.255", "100.100.100.200", "192.0.0.192", "192.0.0.8", "192.0.2.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.9", "168.63.129.16", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::0001]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::FFFF:169.254.169.254]", "[::ffff:0:0]", "[::127.0.0.1]",
    "[::7f00:1]", "[::10.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[64:ff9b:1::8.8.8.8]", "[2002:7f00:1::]", "[2002:a00:1::1]",
    "[2002:a9fe:a9fe::]", "[2001:0:7f00:1::1]", "[2001::1]", "[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]",
    "[::1%25lo]", "[febf::1]", "[fc00::1]", "[fd00:ec2::254]", "[fdff:ffff::1]", "[fec0::1]", "[100::1]",
    "[2001:db8::1]", "[ff02::1]", "[ff0e::1]", "[5f00::1]", "[4000::1]", "[e000::1]",
]  # fmt: skip

# Numbers that resolvers take for inner addresses: recognised, and never followed.
ODD_PRIVATE = [
    "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F000001", "017700000001", "0x7f.1", "0177.0.0.1",
    "0x7F.0x0.0x0.0x1", "127.0x0.0.1", "0", "0.1", "0x0", "00000000", "012.0.0.1", "167772161", "0xc0a80001",
    "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "127.1.", "0x7f.1..",
]  # fmt: skip
ODD_PUBLIC = [
    "0x08080808", "134744072", "010.8.8.8", "8.8.2056", "1.2.3.4.5", "8.8.8.8.8", "8.8.8", "8.8.8.256",
    "8.8.8.08", "4294967296", "a.1", "example.0x1f", "0x", "a.0x", "999999999999999999999",
]  # fmt: skip

PUBLIC = [
    "qichuan.iqiyi.com", "QICHUAN.iqiyi.com", "qc.iqiyi.com", "upload.iqiyi.com.", "data.video.qiyi.com",
    "220.181.184.157", "8.8.8.8", "1.1.1.1", "8.8.8.8.", "100.63.255.255", "100.128.0.1", "172.15.255.255",
    "172.32.0.1", "169.253.0.1", "169.255.0.1", "192.167.0.1", "128.0.0.1", "126.255.255.255", "11.0.0.1",
    "223.255.255.255", "[2400:3200::1]", "[2606:4700:4700::1111]", "[::ffff:8.8.8.8]", "[2002:808:808::1]",
    "[::ffff:168.63.129.17]", "[64:ff9b::8.8.8.8]",
    "localhost.example.com", "local", "lan.example", "xn--fiqs8s.cn", "a-b_c.example",
    "127.0.0.1.nip.example", "0x7f.example", "1.example", "x0x1", "1a", "a.1a",
]  # fmt: skip

# Never, whoever says it, wherever the service is.
REFUSED = [
    ("", "scheme"),
    ("/upload", "scheme"),
    ("//qichuan.iqiyi.com/upload", "scheme"),
    ("qichuan.iqiyi.com/upload", "scheme"),
    ("ftp://qichuan.iqiyi.com/", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://qichuan.iqiyi.com:70/_", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("data:text/plain,x", "scheme"),
    ("unix:///run/docker.sock", "scheme"),
    ("httpx://qichuan.iqiyi.com", "scheme"),
    ("http", "scheme"),
    ("http:/qichuan.iqiyi.com", "host"),
    ("http:qichuan.iqiyi.com", "host"),
    ("http://", "host"),
    ("http:///upload", "host"),
    ("http://:80/", "host"),
    ("http://?x", "host"),
    ("http://#x", "host"),
    ("http://qichuan.iqiyi.com:0/", "host"),
    ("http://qichuan.iqiyi.com:65536/", "URL"),
    ("http://qichuan.iqiyi.com:x/", "URL"),
    ("http://qichuan.iqiyi.com:-1/", "URL"),
    ("http://[::1", "URL"),
    ("http://::1]/", "URL"),
    ("http://[qichuan.iqiyi.com", "URL"),
    ("http://u@qichuan.iqiyi.com/", "user"),
    ("http://u:p@qichuan.iqiyi.com/", "user"),
    ("http://@qichuan.iqiyi.com/", "user"),
    ("http://:@qichuan.iqiyi.com/", "user"),
    ("http://qichuan.iqiyi.com@127.0.0.1/", "user"),
    ("http://qichuan.iqiyi.com:80@127.0.0.1:80/", "user"),
    ("http://a@b@qichuan.iqiyi.com/", "user"),
    ("http://127.0.0.1\\@qichuan.iqiyi.com/", "user"),
    ("http://127.0.0.1\\.qichuan.iqiyi.com/", "character"),
    ("http://qichuan.iqiyi.com\\..\\x", "character"),
    ("http:\\\\qichuan.iqiyi.com/", "host"),
    ("http://qichuan.iqiyi.com/a b", "character"),
    (" http://qichuan.iqiyi.com/", "character"),
    ("http://qichuan.iqiyi.com/\r\nX: y", "character"),
    ("http://qichuan.iqiyi.com/\t", "character"),
    ("ht\ntp://qichuan.iqiyi.com/", "character"),
    ("http://qichuan.iqiyi.com/\x00", "character"),
    ("http://qichuan.iqiyi.com/\x7f", "character"),
    ('http://qichuan.iqiyi.com/"', "character"),
    ("http://qichuan.iqiyi.com/<x>", "character"),
    ("http://qichuan.iqiyi.com/{x}", "character"),
    ("http://qichuan.iqiyi.com/`|^", "character"),
    # Digits, dots and letters that some parsers take for ASCII.
    ("http://１２７.0.0.1/", "character"),
    ("http://①②⑦.0.0.1/", "character"),
    ("http://127。0。0。1/", "character"),
    ("http://127．0．0．1/", "character"),
    ("http://ｌocalhost/", "character"),
    ("http://ⓛocalhost/", "character"),
    ("http://qichuan.iqiyi.com／@x/", "URL"),
    ("http://qichuan.iqiyi.com/é", "character"),
    ("http://爱奇艺.com/", "character"),
    ("http://١٢٧.0.0.1/", "character"),
    ("http://qichuan\u200b.iqiyi.com/", "character"),
    ("http://qichuan.iqiyi.com/\ud800", "character"),
    # Escapes in a host: some decode them, some do not.
    ("http://127.1%2e/", "character"),
    ("http://%6c%6f%63alhost/", "character"),
    ("http://qichuan%2eiqiyi.com/", "character"),
    ("http://127.0.0.1%00.iqiyi.com/", "character"),
    ("http://qichuan.iqiyi.com%2f@x/", "user"),
    ("http://[v1.fe80::a]/", "character"),
    ("http://a,b/", "character"),
    ("http://a;b/", "character"),
    ("http://a'b/", "character"),
    ("http://a*b/", "character"),
    ("http://$HOME/", "character"),
    ("http://a!b/", "character"),
    ("http://a..b/", "empty part"),
    ("http://127.0.0.1../", "empty part"),
    ("http://.x/", "empty part"),
    ("http://a../", "empty part"),
    (f"http://{'x' * 64}.example/", "too long for a name"),
    (f"http://{'x.' * 127}example/", "too long for a name"),
    ("http://[::1]x:1/u", "host"),
    ("http://+[::1]:1/u", "host"),
    ("http://[::1][::2]/u", "URL"),
    ("http://a:1:2/u", "URL"),
    # What httpx reads as an address in four parts, and refuses because it is none.
    ("http://1a2b3c4/", "number"),
    ("http://10-20-30-40/", "number"),
    ("http://123456789012/", "number"),
    ("http://(a)/", "character"),
]

FORMS = ["http://{}/upload", "https://{}", "HTTP://{}:8080/upload?x=1", "http://{}:/"]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_hosts(host: str) -> None:
    assert hosts.is_private_host(host.strip("[]"))
    for form in FORMS:
        problem = hosts.problem_with(form.format(host), private_allowed=False)
        assert problem == "it leads to a private, loopback or link-local address"
        assert hosts.problem_with(form.format(host), private_allowed=True) is None


@pytest.mark.parametrize("host", PUBLIC)
def test_public_hosts(host: str) -> None:
    assert not hosts.is_private_host(host.strip("[]"))
    for form in FORMS:
        assert hosts.problem_with(form.format(host), private_allowed=False) is None
        assert hosts.problem_with(form.format(host), private_allowed=True) is None


@pytest.mark.parametrize("host", ODD_PRIVATE + ODD_PUBLIC)
def test_numbers_that_parsers_take_for_different_hosts(host: str) -> None:
    assert hosts.is_private_host(host) is (host in ODD_PRIVATE)
    for allowed in (False, True):
        for form in FORMS:
            problem = hosts.problem_with(form.format(host), private_allowed=allowed)
            assert problem == "its host is a number that is not an address in the usual spelling"


def test_addresses_have_a_bound() -> None:
    url = "http://qichuan.iqiyi.com/" + "x" * 8167
    assert hosts.problem_with(url, private_allowed=False) is None
    assert hosts.problem_with(url + "x", private_allowed=True) == "it is too long"


@pytest.mark.parametrize(("url", "reason"), REFUSED)
def test_addresses_that_are_never_followed(url: str, reason: str) -> None:
    for allowed in (False, True):
        problem = hosts.problem_with(url, private_allowed=allowed)
        assert problem is not None
        # From Python 3.14 on, `urlsplit` refuses more by itself.
        assert reason in problem or (reason == "host" and problem == "it is not a URL")


@pytest.mark.parametrize(
    "url",
    [
        "http://qichuan.iqiyi.com/upload?a=b&c=%2F#x",
        "https://qichuan.iqiyi.com:65535",
        "http://qichuan.iqiyi.com/~x/;a=1,2/(1)!$'*@:",
    ],
)
def test_ordinary_addresses_pass(url: str) -> None:
    assert hosts.problem_with(url, private_allowed=False) is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a", "http://a:80"),
        ("http://a:80/x?y#z", "http://a:80"),
        ("HTTP://A.Example:80", "http://a.example:80"),
        ("https://a", "https://a:443"),
        ("https://a:443/", "https://a:443"),
        ("https://a.", "https://a:443"),
        ("http://a:443", "http://a:443"),
        ("https://a:80", "https://a:80"),
        ("http://a:00080", "http://a:80"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("http://[2400:3200::1]", "http://[2400:3200::1]:80"),
        ("http://a@b", "http://b:80"),
        ("http://a:", "http://a:80"),
        ("http://a:0", "http://a:0"),
    ],
)
def test_origins_in_one_spelling(url: str, origin: str) -> None:
    assert hosts.origin(url) == origin


@pytest.mark.parametrize(
    "url", ["", "a", "//a", "http:", "http://", "http:///x", "http://a:x", "http://a:65536", "http://[a"]
)
def test_what_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError):
        hosts.origin(url)


def test_origins_that_are_trusted() -> None:
    assert hosts.trusted_origins(Endpoints()) == {
        "https://openapi.iqiyi.com:443",
        "http://upload.iqiyi.com:80",
        "http://qichuan.iqiyi.com:80",
    }
    moved = Endpoints(metadata="http://openapi.iqiyi.com", urls="http://urls.example")
    assert {"http://openapi.iqiyi.com:80", "http://urls.example:80"} <= hosts.trusted_origins(moved)
    assert hosts.trusted_origins(Endpoints.single("http://127.0.0.1:9/x")) == {"http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("endpoints", "public"),
    [
        (Endpoints(), True),
        (Endpoints.single("http://127.0.0.1:8000"), False),
        (Endpoints.single("http://localhost:8000"), False),
        (Endpoints.single("http://[::1]:8000"), False),
        (Endpoints(upload="http://10.0.0.1"), False),
        (Endpoints(api="https://openapi.test.internal"), False),
    ],
)
def test_where_the_service_is(endpoints: Endpoints, public: bool) -> None:
    assert hosts.is_public(endpoints) is public


@given(st.text() | st.text(alphabet="htp:/[]@.%0123456789abcdefx\\ \t#?1١。"))
def test_no_text_is_too_odd(text: str) -> None:
    hosts.is_private_address(text)
    hosts.is_private_host(text)
    for url in (text, f"http://{text}", f"http://{text}/upload"):
        problem = hosts.problem_with(url, private_allowed=True)
        stricter = hosts.problem_with(url, private_allowed=False)
        assert problem is None or stricter == problem
        if problem is None:
            assert hosts.origin(url).startswith(("http://", "https://"))


def _parts(value: int, bases: list[str]) -> str:
    """An IPv4 address in as many parts as there are bases, the last one taking what is left."""
    count = len(bases)
    numbers = [(value >> (24 - 8 * i)) & 255 for i in range(count - 1)]
    numbers.append(value & ((1 << (8 * (5 - count))) - 1))
    spell = {"d": str, "x": hex, "X": lambda n: f"0X{n:X}", "o": lambda n: f"0{n:o}"}
    return ".".join(spell[base](number) for base, number in zip(bases, numbers, strict=True))


INSIDE = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
]


inner_addresses = st.sampled_from(INSIDE).flatmap(lambda network: st.ip_addresses(network=network))


@given(inner_addresses, st.lists(st.sampled_from("dxXo"), min_size=1, max_size=4))
def test_an_inner_address_is_inner_in_any_spelling(address: ipaddress.IPv4Address, bases: list[str]) -> None:
    host = _parts(int(address), bases)
    assert hosts.is_private_host(host)
    assert hosts.problem_with(f"http://{host}/upload", private_allowed=False) is not None


@given(inner_addresses, st.sampled_from(["{}", "{}.", "[::ffff:{}]", "[::{}]", "[64:ff9b::{}]", "[2002:{:x}:{:x}::1]"]))
def test_an_inner_address_is_inner_inside_of_any_other(address: ipaddress.IPv4Address, form: str) -> None:
    halves = divmod(int(address), 65536)
    host = form.format(*halves) if ":x}" in form else form.format(address)
    problem = hosts.problem_with(f"http://{host}/upload", private_allowed=False)
    assert problem == "it leads to a private, loopback or link-local address"


ADDRESSES = [
    ("http://a/u", ("http", "a", 80, "a", "/u")),
    ("https://a/u", ("https", "a", 443, "a", "/u")),
    ("HTTPS://A.example:8443/X?y=%2F&z#part?w", ("https", "a.example", 8443, "A.example:8443", "/X?y=%2F&z")),
    ("http://a", ("http", "a", 80, "a", "/")),
    ("http://a?x=1", ("http", "a", 80, "a", "/?x=1")),
    ("http://a/u?", ("http", "a", 80, "a", "/u?")),
    ("http://a//u/../v;w", ("http", "a", 80, "a", "//u/../v;w")),
    ("http://[::1]:8000/u", ("http", "::1", 8000, "[::1]:8000", "/u")),
    ("http://a./u", ("http", "a.", 80, "a.", "/u")),
    ("ftp://a/u", ("ftp", "a", 0, "a", "/u")),
]


@pytest.mark.parametrize(("url", "parts"), ADDRESSES)
def test_a_url_is_taken_apart_as_it_came(url: str, parts: tuple[str, str, int, str, str]) -> None:
    assert hosts.address(url) == parts
    assert url.lower().startswith(hosts.base_of(url).lower())
    assert hosts.base_of(url).endswith(parts[3])


@pytest.mark.parametrize("url", ["", "a", "//a/u", "http:/a", "http://", "http://a:x/", "http://[::1"])
def test_what_is_no_url_can_not_be_taken_apart(url: str) -> None:
    with pytest.raises(ValueError):
        hosts.address(url)


urls = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "https", "HTTP", "ftp", ""]),
    st.sampled_from([*PRIVATE, *PUBLIC, *ODD_PRIVATE, *ODD_PUBLIC, "x" * 64, "a." * 130, "1a2b3c4"])
    | st.text(alphabet="aZ0.-_[]:%@\\/?#x+", max_size=12)
    | st.text(max_size=8),
    st.sampled_from(["", ":", ":80", ":0", ":x", ":99999", ":٣", "x:1"]),
    st.text(alphabet="/ab.?#@:\\%20\r\n", max_size=8) | st.sampled_from(["x" * 8200, "\ud800"]),
)


@given(urls)
def test_an_address_is_refused_in_one_way_or_can_be_used(url: str) -> None:
    """By the protocol with a ResponseError, by the endpoints with a ConfigurationError; and what passes breaks nothing:
    not the HTTP library, not the resolver's encoding, not the making of a request."""
    came = answer(json.dumps({"code": "A00000", "data": {"upload_url": url, "file_id": "7"}}))
    near = Endpoints.single("http://127.0.0.1:8000")
    for endpoints in (Endpoints(), near):
        try:
            ticket = uploads.request_upload(endpoints, "mp4", 1).decode(came)
        except ResponseError as error:
            assert len(str(error)) < 500  # noqa: PT017 - it may pass, too
            continue
        if ":" not in (host := hosts.address(ticket.upload_url).host):
            host.encode("idna")
        call = uploads.upload_chunk(ticket, 0, b"x", boundary="b0undary")
        build_request(call.request, Secrets(), frozenset())
        assert hosts.fallback_urls(ticket.upload_url, endpoints)[0] == ticket.upload_url
    try:
        endpoints = Endpoints.single(url)
    except ConfigurationError:
        return
    build_request(uploads.request_upload(endpoints, "mp4", 1).request, VAULT, hosts.trusted_origins(endpoints))


def test_nothing_that_is_refused_is_kept() -> None:
    """120 hostile answers of 2 MiB once took gigabytes of memory for the life of the process."""
    tracemalloc.start()
    try:
        for number in range(20):
            url = f"http://a{number}/" + "x" * 2_000_000
            assert hosts.problem_with(url, private_allowed=False) == "it is too long"
            with pytest.raises(ValueError, match="too long"):
                hosts.origin(url)
            with pytest.raises(ConfigurationError, match="characters"):
                Endpoints(api=url)
            del url
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000


FALLBACK, BACKUP = "http://qichuan.iqiyi.com", "http://qc.iqiyi.com"


@pytest.mark.parametrize(
    ("upload_url", "endpoints", "rest"),
    [
        ("http://220.181.184.157/upload?n=1", Endpoints(), [f"{FALLBACK}/upload", f"{BACKUP}/upload"]),
        (f"{FALLBACK}/upload", Endpoints(), [f"{BACKUP}/upload"]),
        ("HTTP://QC.iqiyi.com:80/upload", Endpoints(), [f"{FALLBACK}/upload"]),
        ("http://220.181.184.157/upload", Endpoints(fallbacks=()), []),
        ("http://127.0.0.1:8000/upload", Endpoints.single("http://127.0.0.1:8000"), []),
        # A service near by is not left for the public one.
        ("http://127.0.0.1:9/upload", Endpoints(api="http://127.0.0.1:8", upload="http://127.0.0.1:8"), []),
        (
            "http://127.0.0.1:9/upload",
            Endpoints(api="http://127.0.0.1:8", fallbacks=("http://127.0.0.1:7", "http://127.0.0.1:7/")),  # twice
            ["http://127.0.0.1:7/upload"],
        ),
    ],
)
def test_where_the_ranges_of_an_upload_may_go(upload_url: str, endpoints: Endpoints, rest: list[str]) -> None:
    assert hosts.fallback_urls(upload_url, endpoints) == (upload_url, *rest)


@given(
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from([*PRIVATE, *PUBLIC, *ODD_PRIVATE, *ODD_PUBLIC])
    | st.text(alphabet="aZ0.-_[]:%@\\/?#x", max_size=12),
    st.sampled_from(["", ":", ":80", ":8080", ":0", ":x"]),
    st.text(alphabet="/ab.?#@:\\%20", max_size=8),
)
def test_the_http_library_sees_the_host_that_was_judged(scheme: str, host: str, port: str, rest: str) -> None:
    """A URL that two parsers read differently is how such a check is got round."""
    url = f"{scheme}://{host}{port}/{rest}"
    if hosts.problem_with(url, private_allowed=True) is not None:
        return
    seen = httpx.URL(url)
    default = {"http": 80, "https": 443}[seen.scheme]
    host = seen.raw_host.decode()
    shown = f"[{host}]" if ":" in host else host
    assert f"{seen.scheme}://{shown.rstrip('.')}:{seen.port or default}".lower() == hosts.origin(url)


@pytest.mark.parametrize(
    ("api", "upload", "forms", "leave"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "http://qichuan.iqiyi.com", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "http://127.0.0.1:8000", False),
        ("http://127.0.0.1:8000", "http://upload.iqiyi.com", "http://qichuan.iqiyi.com", False),
        ("https://openapi.iqiyi.com", "http://127.0.0.1:8000", "http://qichuan.iqiyi.com", False),
        ("https://openapi.iqiyi.com", "http://upload.iqiyi.com", "http://qichuan.iqiyi.com", False),
    ],
)
def test_forms_of_a_service_near_by_stay_there(api: str, upload: str, forms: str, leave: bool) -> None:
    assert hosts.forms_leave_home(Endpoints(api=api, upload=upload, forms=forms)) is leave
