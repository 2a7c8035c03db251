"""Exchanges: a list of them, or one with all that went over the wire."""

import json
from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import Exchange, FlowEntry, words
from hoop_mitm.cli import terminal

_LONGEST_BODY = 20_000
_HTTP_ERROR = 400


def table(flows: Sequence[FlowEntry]) -> Table:
    shown = Table(show_edge=False, pad_edge=False, header_style="bold", box=None, padding=(0, 1))
    shown.add_column("TIME", no_wrap=True, style="dim")
    shown.add_column("EXCHANGE", overflow="fold")
    shown.add_column("OUTCOME", overflow="fold")
    for title in ("SENT", "RECEIVED", "TOOK"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("FLOW", no_wrap=True, style="cyan")
    for flow in flows:
        shown.add_row(
            terminal.clock(flow.started_at),
            Text(terminal.safe(name(flow))),
            outcome(flow),
            terminal.size(flow.request_size),
            terminal.size(flow.response_size),
            terminal.took(flow.duration),
            flow.id[-12:],
        )
    return shown


def name(flow: FlowEntry) -> str:
    return flow.door or f"{flow.method} {flow.url}"


def outcome(flow: FlowEntry) -> Text:
    if flow.verdict.decision == "deny":
        return Text(f"denied ({terminal.safe(flow.verdict.rule)})", style="red")
    if flow.state == "open" and flow.resolved:
        return Text(f"{flow.resolved.outcome.replace('_', ' ')} (its answer was lost)", style="yellow")
    if flow.state == "open":
        return Text("outcome unknown", style="yellow")
    if flow.state in ("failed", "truncated"):
        return Text(f"{flow.state}: {terminal.safe(flow.error or '')}".removesuffix(": "), style="red")
    if flow.protocol == "grpc" and flow.grpc_status is not None:
        return Text("OK", style="green") if flow.grpc_status == 0 else Text(f"gRPC {flow.grpc_status}", style="red")
    bad = flow.status is not None and flow.status >= _HTTP_ERROR
    return Text(str(flow.status or ""), style="red" if bad else "green")


def whole(exchange: Exchange) -> Iterator[RenderableType]:
    """Headers and bodies, JSON laid out."""
    flow = exchange.flow
    yield Text.assemble((terminal.safe(name(flow)), "bold"), "  ", outcome(flow))
    yield Text(f"{terminal.span(flow.started_at, flow.ended_at or flow.started_at)}, flow {flow.id}", style="dim")
    asked = f"with {flow.user_agent or 'no User-Agent'} from {flow.client_address}"
    yield Text(terminal.safe(f"{asked}, by {flow.program}" if flow.program else asked), style="dim")
    if flow.verdict.message:
        yield Text(terminal.safe(flow.verdict.message), style="red")
    yield Text(f"\n{flow.method} {terminal.safe(flow.url)} {flow.http_version}", style="bold")
    yield from _message(exchange, "request")
    yield Text(f"\nAnswer {flow.status or ''}", style="bold")
    yield from _message(exchange, "response")


def _message(exchange: Exchange, side: Literal["request", "response"]) -> Iterator[RenderableType]:
    flow = exchange.flow
    if side == "request":
        headers, body, size = exchange.request_headers, exchange.request_body, flow.request_size
    else:
        headers, body, size = exchange.response_headers, exchange.response_body, flow.response_size
    for header, value in headers:
        yield Text.assemble((f"{terminal.safe(header)}: ", "dim"), terminal.safe(value))
    if body is None:
        why = words.missing(flow.deleted.get(f"{side}_body"))
        yield Text(f"({terminal.size(size)}, {why})" if size else "(no body)", style="dim italic")
        return
    yield Text("")
    yield _body(body)


def _body(body: bytes) -> RenderableType:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Text(f"({terminal.size(len(body))}, binary)", style="dim italic")
    try:
        # Not rounded: a number is printed as it was sent.
        text = json.dumps(json.loads(text, parse_float=str, parse_int=int), indent=2, ensure_ascii=False)
        language = "json"
    except ValueError:
        language = "text"
    cut = (
        text
        if len(text) <= _LONGEST_BODY
        else text[:_LONGEST_BODY] + f"\n… {len(text) - _LONGEST_BODY:,} more characters"
    )
    return Syntax(terminal.safe(cut), language, theme="ansi_dark", background_color="default", word_wrap=True)
