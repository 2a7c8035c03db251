"""Options that narrow down what is found, shared by ``search`` and ``tail``."""

from collections.abc import Callable
from typing import Any

import click

type Command = Callable[..., Any]

_FILTERS = (
    click.option("--principal", metavar="WHO", help="Asked by them: an e-mail or subject, or part of it."),
    click.option("--connection", metavar="NAME", help="Asked through this connection."),
    click.option(
        "--table", metavar="TABLE", help="About this table: orders, shop.orders or acme.shop.orders; * is anything."
    ),
    click.option("--verdict", type=click.Choice(["allow", "deny", "review"]), help="What the gateway said to it."),
    click.option(
        "--type", "type_", metavar="TYPE", help="SELECT, LOAD and such; a method (tabledata.list); or a type of event."
    ),
)


def filtering(command: Command) -> Command:
    """``--principal``, ``--connection``, ``--table``, ``--verdict`` and ``--type``."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command
