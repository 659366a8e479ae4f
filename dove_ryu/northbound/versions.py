"""ETag, If-Match and If-None-Match (RFC 9110, sections 8.8.3 and 13.1).

An object's version is that of its document in the store. Some objects show more than their document, such as where an
endpoint is; their ETag has a digest of all that is shown behind the version, so that a GET with If-None-Match sees
every change. If-Match compares the versions alone: an edit is not spoilt by an endpoint that moves meanwhile.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from webob import Request
from webob.etag import ETagMatcher

from dove_ryu.northbound.problems import Refusal
from dove_ryu.store import ABSENT

DIGEST_BYTES = 6


def etag(version: int, shown: bytes = b"") -> str:
    """An entity tag without its quotes: ``17`` or, with more *shown* than the document has, ``17-0f52c3b1a9d4``."""
    return f"{version}-{digest(shown)}" if shown else str(version)


def digest(shown: bytes) -> str:
    """What tells one representation from another."""
    return hashlib.blake2b(shown, digest_size=DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a request asks to be so before it changes anything.

    :ivar versions: the object must have one of these; None where anything will do.
    :ivar exists: the object must be there.
    :ivar absent: it must not be there.
    :ivar others: it must have none of these versions.
    """

    versions: frozenset[str] | None = None
    exists: bool = False
    absent: bool = False
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, request: Request) -> Precondition:
        """What the headers of *request* say."""
        return cls(
            _versions(request.if_match) if "If-Match" in request.headers else None,
            "If-Match" in request.headers,
            request.headers.get("If-None-Match", "").strip() == "*",
            _versions(request.if_none_match) or frozenset(),
        )

    def check(self, what: str, version: int) -> None:
        """See that *version*, 0 for none, is what is asked for.

        :param what: the object, as a message calls it.
        :raises Refusal: 412 otherwise.
        """
        if self.exists and version == ABSENT:
            raise Refusal(412, f"{what} is not there, and If-Match asks for one that is")
        if self.versions is not None and str(version) not in self.versions:
            raise Refusal(412, f"{what} has changed since you read it: it is at version {version}; read it again")
        if self.absent and version != ABSENT:
            raise Refusal(412, f"{what} is there already, at version {version}; If-None-Match: * only creates")
        if str(version) in self.others:
            raise Refusal(412, f"{what} is at version {version}, which If-None-Match excludes")


def _versions(matcher: object) -> frozenset[str] | None:
    """The versions that a header lists; None for ``*``."""
    if isinstance(matcher, ETagMatcher):
        return frozenset(tag.partition("-")[0] for tag in matcher.etags)
    return None
