"""What the gateway is for whom: a boundary, or a recorder. Said at every start, so that nobody assumes the stronger."""

import getpass

from hoop_mitm.config import Config, Federation, is_loopback, split_host_port


def standing(config: Config) -> str:
    """One plain sentence or two for the start-up line.

    A gateway is a *boundary* for a client that cannot get at Google's credential except through it, and a
    *recorder* for one that could: a program of the same user can read whatever the gateway can.
    """
    holding = [
        connection.name for connection in config.connections if not isinstance(connection.credential, Federation)
    ]
    if not holding:
        return (
            "A boundary: it holds no Google credential of its own, each person's token is traded for theirs, "
            "and Google decides what they may do."
        )
    held = f"the Google credential of {_listed(holding)}"
    places = [place for place in (config.gateway.listen, config.gateway.endpoint) if place]
    if all(is_loopback(split_host_port(place)[0]) for place in places):
        return (
            f"A recorder, not a boundary, for programs that run as {_user()} on this machine: they can read {held} "
            "as well as this gateway can. It is a boundary with federation, or when it runs as another user or on "
            "another machine."
        )
    return (
        f"A boundary for clients on other machines and of other users: {held} stays here. "
        f"A recorder only for programs that run as {_user()} on this machine."
    )


def _listed(names: list[str]) -> str:
    return f"connection {names[0]}" if len(names) == 1 else f"connections {', '.join(names[:-1])} and {names[-1]}"


def _user() -> str:
    try:
        return getpass.getuser()
    except OSError:
        # A container may run under an id that no name belongs to.
        return "the gateway's user"
