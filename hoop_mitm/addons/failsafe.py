"""The wrapper around every hook.

mitmproxy logs an exception in a hook and lets the flow go on, upstream, as the client sent it. Here an exception becomes
a refusal, or a kill where a refusal can no longer be sent; and a hook that came to its end is noted, so that the guard can
tell that every hook did.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy import connection, http
from mitmproxy.hooks import all_hooks
from mitmproxy.proxy import layer
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from hoop_mitm.addons.answers import internal_error

logger = logging.getLogger(__name__)

LIFECYCLE = frozenset({"load", "configure", "running", "done"})
"""Hooks whose exceptions mitmproxy does heed: it does not start, or takes the option back."""

_completed: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()


class Addon:
    """The base of every addon here: a subclass's hooks fail closed."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in all_hooks.keys() - LIFECYCLE:
            if hook := cls.__dict__.get(name):
                setattr(cls, name, _closed(name, hook))


def missing(subject: object, addons: Iterable[Addon], *hooks: str) -> set[str]:
    """Which of these addons' hooks have not come to their end for a flow, a client or a server."""
    expected = {f"{type(addon).__name__}.{hook}" for addon in addons for hook in hooks if hasattr(addon, hook)}
    return expected - _completed.get(subject, set())


def _closed(name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(hook):

        @functools.wraps(hook)
        async def closed_async(self: Addon, *args: Any) -> None:
            try:
                await hook(self, *args)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail open
                _shut(self, name, args, error)
            else:
                _note(self, name, args)

        return closed_async

    @functools.wraps(hook)
    def closed(self: Addon, *args: Any) -> None:
        try:
            hook(self, *args)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail open
            _shut(self, name, args, error)
        else:
            _note(self, name, args)

    return closed


def _note(addon: Addon, name: str, args: tuple[Any, ...]) -> None:
    subject: object
    match args[0] if args else None:
        case http.HTTPFlow() as flow:
            # CONNECT is a flow of its own; what it decided holds for the connection.
            subject = flow.client_conn if name == "http_connect" else flow
        case ServerConnectionHookData() as data:
            subject = data.server
        case layer.NextLayer() as asked:
            subject = asked.context.client
        case _:
            return
    _completed.setdefault(subject, set()).add(f"{type(addon).__name__}.{name}")


def _shut(addon: Addon, name: str, args: tuple[Any, ...], error: Exception) -> None:
    # The type and the place, never the text: an exception may quote what it choked on.
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    logger.warning("%s.%s failed (%s%s); refused.", type(addon).__name__, name, type(error).__name__, where)
    match args[0] if args else None:
        case http.HTTPFlow() as flow:
            shut_flow(flow, name)
        case ServerConnectionHookData() as data:
            data.server.error = "hoop-mitm failed while it checked this connection."
        case connection.Client() as client:
            client.error = "hoop-mitm failed while it checked this connection."
        case _:
            pass


def shut_flow(flow: http.HTTPFlow, hook: str) -> None:
    """Refuses a flow at any hook: by an answer where one can still be given, else by a kill."""
    match hook:
        case "http_connect" | "requestheaders" | "request":
            flow.request.stream = False
            flow.response = internal_error(flow)
        case "response" if not (flow.response and flow.response.stream):
            flow.response = internal_error(flow)
        case _ if flow.killable:
            flow.kill()
        case _:
            pass
