"""The DPS as seen from afar: REST calls in, JSON values out, and every way of failing as an exception with its reason.

Nothing here knows what the values mean; that is for those who show them.
"""

from __future__ import annotations

import http
import ipaddress
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import requests

from dove_ryu.cli.errors import BadArgument, Refused, Unreachable

PROBLEM = "application/problem+json"
"""The media type of RFC 9457's problem documents."""


class Client:
    """A connection to one DPS, kept open between calls. Use it in a ``with`` statement.

    :param url: where the DPS is, ``http://HOST:PORT``; a path in front of ``/v1`` may follow.
    :param timeout: seconds to wait for a connection, and again for an answer.
    :raises BadArgument: when *url* is none.
    """

    def __init__(self, url: str, timeout: float) -> None:
        host = _host(url)
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        # A proxy from the environment is for the way out; nobody's proxy knows this machine's own loopback.
        self._session.trust_env = not _is_loopback(host)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, *path: str, **parameters: str) -> Any:
        """The value at ``/v1/`` and the segments of *path*.

        :raises Refused: when the DPS says no; :raises Unreachable: when it does not answer.
        """
        return self._call("GET", path, parameters)

    def get_version(self, *path: str) -> tuple[Any, str]:
        """The value there with its ETag, for :meth:`put`; raises as :meth:`get` does."""
        response = self._send("GET", path, {})
        return self._value(response), response.headers.get("ETag", "")

    def put(self, *path: str, value: object, version: str | None = None, **parameters: str) -> Any:
        """Put *value* there, if it is still of a *version*; raises as :meth:`get` does."""
        condition = {} if version is None else {"If-Match": version}
        return self._value(self._send("PUT", path, parameters, value, condition))

    def post(self, *path: str, **parameters: str) -> Any:
        """Have done what is done there; raises as :meth:`get` does."""
        return self._call("POST", path, parameters)

    def delete(self, *path: str) -> None:
        """Delete what is there; raises as :meth:`get` does."""
        self._call("DELETE", path, {})

    def _call(self, method: str, path: tuple[str, ...], parameters: Mapping[str, str]) -> Any:
        return self._value(self._send(method, path, parameters))

    def _send(
        self,
        method: str,
        path: tuple[str, ...],
        parameters: Mapping[str, str],
        value: object = None,
        condition: Mapping[str, str] = MappingProxyType({}),
    ) -> requests.Response:
        url = "/".join([self.url, "v1", *map(_segment, path)])
        try:
            # A redirected PUT would arrive as a GET, so a redirection is told and not followed.
            return self._session.request(
                method,
                url,
                params=parameters,
                json=value,
                headers={"Accept": "application/json", **condition},
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.Timeout:
            raise Unreachable(
                f"{self.url} did not answer within {self._timeout:g} s; is it well? --timeout gives it longer"
            ) from None
        except requests.ConnectionError as error:
            raise Unreachable(
                f"{self.url} cannot be reached: {_innermost(error)}; is the DPS running? --url or DOVE_URL says where"
            ) from None
        except requests.RequestException as error:
            raise Unreachable(
                f"{self.url} does not answer as a DPS does ({error}); is --url or DOVE_URL right?"
            ) from None

    def _value(self, response: requests.Response) -> Any:
        """What a response says."""
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if kind == PROBLEM:
            raise _problem(response, self.url)
        if response.ok and response.status_code == http.HTTPStatus.NO_CONTENT:
            return None
        if response.ok and not response.is_redirect and kind == "application/json":
            return _json(response, self.url)
        raise _stranger(response, self.url)


def _segment(name: str) -> str:
    """A segment of a path; what HTTP would take for none or for more than one is refused here."""
    if name in ("", ".", "..") or "/" in name:
        raise BadArgument(f"'{name}' is no name; names are of letters, digits, '-', '_' and '.'")
    return quote(name, safe="")


def _problem(response: requests.Response, url: str) -> Refused | Unreachable:
    """The exception that a problem document stands for; a fault of the DPS itself is not a refusal."""
    problem = _json(response, url)
    if not isinstance(problem, dict):
        return _stranger(response, url)
    detail = str(problem.get("detail") or problem.get("title") or f"{response.status_code} {response.reason}")
    if response.status_code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(detail)
    errors = tuple((str(each.get("place", "")), str(each["reason"])) for each in problem.get("errors") or ())
    return Refused(*(located(*each) for each in errors or [("", detail)]), problems=errors)


def located(place: str, reason: str) -> str:
    """A reason with its place in front, where it has one."""
    return f"{place}: {reason}" if place else reason


def _json(response: requests.Response, url: str) -> Any:
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise _stranger(response, url) from None


def _stranger(response: requests.Response, url: str) -> Unreachable:
    """Something answers there that is no DPS."""
    where = response.headers.get("Location")
    said = f"{response.status_code} {response.reason}" + (f" to {where}" if where else "")
    return Unreachable(f"{url} does not answer as a DPS does ({said}); is --url or DOVE_URL right?")


def _innermost(error: BaseException) -> str:
    """What went wrong in the end: requests, urllib3 and the socket each wrap the error of the one below."""
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, OSError) and reason.strerror:
            return reason.strerror[0].lower() + reason.strerror[1:]
        inner = getattr(reason, "reason", None) or next(
            (each for each in reason.args if isinstance(each, Exception)), None
        )
        reason = inner if isinstance(inner, BaseException) else reason.__cause__ or reason.__context__
    return str(error)


def _host(url: str) -> str:
    """The host of the DPS's URL."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.hostname
    except ValueError:
        pass
    raise BadArgument(f"'{url}' says no DPS; write --url or DOVE_URL as http://HOST:PORT")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
