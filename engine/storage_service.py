"""The storage service as this process reaches it: endpoint, credentials, proxy, and connections that stay open.

One exchange of the JSON API is one call of `StorageService.ask`, over urllib3. What takes several that belong together (an upload in
pieces) and what is asked of a bucket itself is left to the official client, which is imported when it is first needed: its import
takes as much CPU as all that happens until the first byte is fetched (`make bench BENCH_OPTIONS=start`). Behind a client
certificate, or a proxy that is no HTTP proxy, every exchange goes through the session of the official client.

Tried again is nothing here, but a request whose token was refused: retries are `engine.store.Retries`.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from engine import __version__
from engine.errors import NotPermitted
from engine.loopback import require_loopback

REAL = "https://storage.googleapis.com"

USER_AGENT = f"tickdeck/{__version__} (gzip)"
"""With that word in it the service packs what it lists (Cloud Storage, "JSON API: performance tips")."""

REFRESHES = 2
"""How often one request is sent again with a fresh token after a 401, as the official client does."""

PIECE_BYTES = 512 << 10
"""So much of a body is sent within one timeout."""

TOGETHER_BYTES = 32 << 10
"""Up to here one write, and a copy, cost less than three."""

SCOPES = tuple(f"https://www.googleapis.com/auth/devstorage.{which}" for which in ("full_control", "read_only", "read_write"))
"""Those of the official client."""

_CONNECTIONS = 256
"""So many stay open; more may be open at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said."""

    status: int
    headers: Mapping[str, str]
    """By name, whatever its case."""
    body: bytes

    @property
    def is_done(self) -> bool:
        """Whether it did what it was asked to."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """Its words of a refusal, out of its JSON where it is one."""
        try:
            return str(json.loads(self.body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Multipart:
    """A body that holds what an object is to be called and its bytes: `head`, the bytes, `tail`."""

    content_type: str
    head: bytes
    tail: bytes

    def pieces(self, data: bytes) -> Sequence[bytes | memoryview]:
        """The whole body, for one write after the other: what is small is one."""
        if len(data) <= TOGETHER_BYTES:
            return (b"".join((self.head, data, self.tail)),)
        whole = memoryview(data)
        return (self.head, *(whole[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)), self.tail)


class StorageService:
    """Safe to use from several threads."""

    def __init__(self, *, project: str, base: str = REAL, credentials: Any = None, direct: bool = False) -> None:
        """See `open_storage`.

        Args:
            project: Google Cloud project.
            base: where the service is, without a slash at the end.
            credentials: of google-auth; None for a service that asks for none.
            direct: whether a proxy of the environment does not count.
        """
        self.project, self.base, self.credentials = project, base, credentials
        self.place = urlsplit(base).netloc
        self.proxy = None if direct else _proxy_to(base)
        has_plain_proxy = self.proxy is None or self.proxy.startswith(("http://", "https://"))
        self.is_plain = has_plain_proxy and (credentials is None or not _has_certificate())
        """Whether requests go over connections of our own, not over those of the official client."""
        self._direct = direct
        self._renewing = threading.Lock()

    @cached_property
    def client(self) -> Any:
        """The official client, with the same credentials and endpoint."""
        import requests.adapters
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        credentials = self.credentials or AnonymousCredentials()
        # Behind a client certificate the client chooses the address.
        options = {"api_endpoint": self.base} if self.is_plain or self.base != REAL else None
        client = storage.Client(project=self.project, credentials=credentials, client_options=options)
        client._http.trust_env = not self._direct
        # Telemetry of the client asks for the bucket in a thread of its own, and goes on asking a server that is gone.
        client._bucket_metadata_cache = None
        adapter = requests.adapters.HTTPAdapter(pool_connections=8, pool_maxsize=_CONNECTIONS)
        for scheme in ("http://", "https://"):
            client._http.mount(scheme, adapter)
        return client

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: tuple[float, float],
        headers: Mapping[str, str] | None = None,
        body: Sequence[bytes | memoryview] = (),
    ) -> Answer:
        """One exchange.

        Args:
            method: of HTTP.
            path: from `objects_path`, `object_path` and the like.
            query: its parameters.
            timeout: seconds to connect, and seconds of silence.
            headers: more than the usual ones. An answer is unpacked unless they say what may be packed (`Accept-Encoding`).
            body: what is sent, in pieces.

        Raises:
            ConnectionError: without an answer, or with a part of one.
            GoogleAuthError: no token to be had.
        """
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **(headers or {})}
        if body:
            sent["Content-Length"] = str(sum(map(len, body)))
        is_raw = headers is not None and "Accept-Encoding" in headers
        if not self.is_plain:
            return self._ask_officially(method, target, sent, body, timeout, is_raw=is_raw)
        refused = ""
        for _ in range(REFRESHES + 1):
            token = self.identify(refused)
            answer = self._exchange(method, target, sent | token, body, timeout, is_raw=is_raw)
            refused = token.get("authorization", "")
            if answer.status != 401 or not refused:
                break
        return answer

    def identify(self, refused: str = "") -> dict[str, str]:
        """The headers that say who we are; none where nobody asks. Renews a token that ran out, or was refused (`refused`), once for all.

        Raises:
            GoogleAuthError: no token to be had.
        """
        headers: dict[str, str] = {}
        if self.credentials is None:
            return headers
        if self.must_renew(refused):
            with self._renewing:
                if self.must_renew(refused):
                    from google.auth.transport.requests import Request

                    self.credentials.refresh(Request())
        self.credentials.apply(headers)
        return headers

    def must_renew(self, refused: str) -> bool:
        """Whether `identify` would have to ask for a token, which takes its time."""
        if self.credentials is None:
            return False
        return not self.credentials.valid or (bool(refused) and refused == f"Bearer {self.credentials.token}")

    def _exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Sequence[bytes | memoryview],
        timeout: tuple[float, float],
        *,
        is_raw: bool,
    ) -> Answer:
        connect, silence = timeout
        try:
            said = self._connections.urlopen(
                method,
                f"{self.base}{target}",
                body=body or None,
                headers=headers,
                timeout=urllib3.Timeout(connect=connect, read=silence),
                retries=False,
                redirect=False,
                decode_content=not is_raw,
            )
        except urllib3.exceptions.ReadTimeoutError as error:
            raise ConnectionError(f"no answer from {self.place} for {silence:.0f} s") from error
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise ConnectionError(f"no connection to {self.place}: {_cause(error, 'no answer')}") from error
        except urllib3.exceptions.ProxyError as error:
            raise ConnectionError(f"no connection to {self.place} through the proxy: {_cause(error, 'it refused')}") from error
        except urllib3.exceptions.SSLError as error:
            raise ConnectionError(f"no secure connection to {self.place}: {error}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectionError(f"the connection to {self.place} broke off: {type(error).__name__}") from error
        return Answer(said.status, said.headers, said.data)

    @cached_property
    def trust(self) -> ssl.SSLContext | None:
        """Whom to trust with a secure connection; None where there is none."""
        return _trust() if self.base.startswith("https://") else None

    @cached_property
    def _connections(self) -> urllib3.PoolManager:
        settings: dict[str, Any] = {"num_pools": 8, "maxsize": _CONNECTIONS}
        if self.trust is not None:
            settings["ssl_context"] = self.trust
        if self.proxy is None:
            return urllib3.PoolManager(**settings)
        proxy = urlsplit(self.proxy)
        if proxy.username is not None:
            identity = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            settings["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=identity)
        return urllib3.ProxyManager(self.proxy, **settings)

    def _ask_officially(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Sequence[bytes | memoryview],
        timeout: tuple[float, float],
        *,
        is_raw: bool,
    ) -> Answer:
        """Over the session of the official client, which knows client certificates and all proxies, and renews tokens itself."""
        base = self.client._connection.get_api_base_url_for_mtls().rstrip("/")
        options = {"timeout": timeout, "allow_redirects": False, "stream": True}
        with self.client._http.request(method, f"{base}{target}", data=b"".join(body) or None, headers=dict(headers), **options) as said:
            # `content` would unpack whatever comes packed.
            return Answer(said.status_code, said.headers, said.raw.read(decode_content=not is_raw))


def open_storage(*, project: str, endpoint: str = "") -> StorageService:
    """The storage service.

    Args:
        project: Google Cloud project; any word for an emulator.
        endpoint: base URL of a storage server on this machine; empty for the real service with default credentials.

    Raises:
        ConfigurationError: if `endpoint` is not on this machine.
        NotPermitted: if there are no default credentials.
    """
    if endpoint:
        require_loopback(endpoint)
        return StorageService(project=project, base=endpoint.rstrip("/"), direct=True)
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        credentials, _ = google.auth.default(scopes=SCOPES)
    except DefaultCredentialsError as error:
        raise NotPermitted(str(error), hint="run: gcloud auth application-default login") from error
    return StorageService(project=project, credentials=credentials)


def objects_path(bucket: str) -> str:
    """Where a bucket lists its objects."""
    return f"/storage/v1/b/{quote(bucket, safe='')}/o"


def object_path(bucket: str, name: str) -> str:
    """Where an object is described, or deleted."""
    return f"{objects_path(bucket)}/{quote(name, safe='')}"


def media_path(bucket: str, name: str) -> str:
    """Where the bytes of an object are."""
    return f"/download{object_path(bucket, name)}"


def upload_path(bucket: str) -> str:
    """Where objects are written."""
    return f"/upload{objects_path(bucket)}"


def wrap(description: Mapping[str, object], content_type: str) -> Multipart:
    """What stands around the bytes of an object that is written by one request.

    Args:
        description: the object's resource, as far as it is given.
        content_type: of the bytes.
    """
    boundary = os.urandom(16).hex()
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(description)}"
        f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\r\n"
    )
    return Multipart(f"multipart/related; boundary={boundary}", head.encode(), f"\r\n--{boundary}--\r\n".encode())


def refusal(answer: Answer) -> Exception:
    """The error that the official client raises at such an answer, so that one rule says what is tried again."""
    from google.api_core.exceptions import from_http_status

    error: Exception = from_http_status(answer.status, answer.message)
    return error


def says_no_bucket(words: str) -> bool:
    """Whether words of a 404 speak of the bucket, not of an object or an upload in it."""
    text = words.lower()
    return "bucket" in text and "does not exist" in text


def _proxy_to(url: str) -> str | None:
    """The proxy that the environment names, as for the official client. Asked once: aiohttp would ask for each request, in a thread."""
    host = urlsplit(url).hostname
    if host is None or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(urlsplit(url).scheme, proxies.get("all"))


def _has_certificate() -> bool:
    """Whether the official clients show a client certificate here."""
    from google.auth.transport import mtls

    return bool(mtls.should_use_client_cert())


def _trust() -> ssl.SSLContext:
    """Whom to trust, as the official client has it: the file or folder that the environment names, else Mozilla's list."""
    import certifi

    place = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    return ssl.create_default_context(capath=place) if Path(place).is_dir() else ssl.create_default_context(cafile=place)


def _cause(error: BaseException, otherwise: str) -> str:
    """What the system said."""
    for cause in (error, error.__cause__, error.__context__, getattr(error, "original_error", None)):
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
    return otherwise
