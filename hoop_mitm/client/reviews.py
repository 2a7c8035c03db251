"""Reviews as the gateway tells of them: asked with one's own login."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from hoop_mitm.errors import Denied, Unreachable
from hoop_mitm.login.fresh import fresh_id_token
from hoop_mitm.login.gateway import call_api
from hoop_mitm.login.profile import ClientProfile

_OK: Final = 200
_OUR_OWN: Final = 500
_WAIT: Final = 20
"""Seconds that the gateway is asked to wait for something to happen."""


class ReviewsClient:
    """The gateway's reviews, for whoever is signed in on this machine.

    Every method raises `Denied` when the gateway says no (the rule is its own: ``review.own``, ``review.unknown`` …),
    `LoginError` when nobody is signed in, and `Unreachable` when the gateway does not answer.
    """

    def __init__(self, profile: ClientProfile) -> None:
        self._profile = profile

    def list(self, states: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Those in these states, or all, that one may see; the latest first."""
        found: list[Mapping[str, Any]] = self._ask("GET", "/reviews", parameters={"state": list(states)})["reviews"]
        return found

    def show(self, reference: str) -> Mapping[str, Any]:
        """Everything about one, by its id or the beginning of its id."""
        return self._ask("GET", f"/reviews/{quote(reference, safe='')}")

    def approve(self, reference: str, digest: str, message: str) -> Mapping[str, Any]:
        """Says yes to what has this digest; gives the review as it is then."""
        said = {"digest": digest, "message": message}
        return self._ask("POST", f"/reviews/{quote(reference, safe='')}/approve", body=said)

    def reject(self, reference: str, message: str) -> Mapping[str, Any]:
        """Says no; gives the review as it is then."""
        return self._ask("POST", f"/reviews/{quote(reference, safe='')}/reject", body={"message": message})

    def watch(self) -> Iterator[Mapping[str, Any]]:
        """What is open now, and then every review whenever it changes, without end."""
        answer = self._ask("GET", "/reviews", parameters={"state": ["PENDING", "APPROVED"]})
        while True:
            yield from reversed(answer["reviews"])
            answer = self._ask("GET", "/reviews", parameters={"after": answer["change"], "wait": _WAIT})

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        # Afresh each time: who watches for hours outlives a token.
        status, said = call_api(self._profile, fresh_id_token(self._profile), method, path, **more)
        if status == _OK:
            return said
        error = said.get("error")
        if not isinstance(error, dict):
            raise Unreachable(f"What answers at {self._profile.gateway.url} knows nothing of reviews.")
        message = str(error.get("message") or f"The gateway answered {status}.")
        if status >= _OUR_OWN:
            raise Unreachable(message)
        reasons = error.get("errors") or [{}]
        raise Denied(str(reasons[0].get("reason", "")), message)
