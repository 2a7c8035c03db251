"""The gateway's configuration in a sandbox: the user's own, or the world's, put to work on this world."""

from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from hoop_mitm.config import Config, Connection, Federation, is_loopback, writing
from hoop_mitm.config.policy import PolicyWords
from hoop_mitm.devkit.google import WORKFORCE_AUDIENCE
from hoop_mitm.identity.principal import Kind, Principal

ANALYSTS_READ = PolicyWords.model_validate({
    "rules": [
        {"name": "analysts-read", "verdict": "allow", "groups": ["analysts"], "read_only": True},
        {
            "name": "analysts-do-not-write",
            "verdict": "deny",
            "groups": ["analysts"],
            "message": "Analysts read here, and change nothing.",
        },
        {"name": "everybody-else", "verdict": "allow", "opaque": True},
    ]
})  # fmt: skip
"""The sandbox's policy: alice and bob are analysts, the machine ci is not."""


def for_sandbox(
    world: Config,
    own: Config | None,
    *,
    listen: str,
    directory: Path,
    recordings: Path,
    policy: PolicyWords | None = None,
) -> Config:
    """``own``, or ``world`` where there is none, with what only the sandbox can know.

    Of somebody's own ``hoop.yaml`` everything holds except: where the gateway listens and keeps its files; the
    issuers (people sign in at the world's); where Google is; where signed heads go (nowhere); and each connection's
    credential, which is the world's service account, or stays federation, with the world's pool. If no connection
    covers the world's project, the first one does.

    Args:
        world: the configuration that the world wrote for itself.
        own: the user's, or ``None``.
        listen: ``host:port``.
        directory: of the gateway's keys and certificates.
        recordings: of journal and archive.
        policy: where somebody has no ``hoop.yaml`` of their own.
    """
    chosen = own or world
    places = {"listen": listen, "certs": directory / "certs", "state": directory / "state"}
    return chosen.model_copy(
        update={
            "gateway": chosen.gateway.model_copy(update={**places, "upstream": world.gateway.upstream}),
            "identity": chosen.identity.model_copy(update={"issuers": world.identity.issuers}),
            "connections": _connections(world, own) if own else world.connections,
            "policy": own.policy if own else policy,
            "recording": chosen.recording.model_copy(update={"directory": recordings, "heads": ()}),
        }
    )


def connection_for(config: Config, project: str) -> str:
    """The name of the connection that covers ``project``."""
    return next(connection.name for connection in config.connections if project in connection.projects)


def write(config: Config, path: Path) -> Path:
    """Write ``config`` as YAML (which JSON is) for the gateway to read; it holds paths of keys, but no key."""
    return writing.write(config, path, "Written by hoop-mitm sandbox at each start; changes are lost.")


def _connections(world: Config, own: Config) -> tuple[Connection, ...]:
    theirs = world.connections[0]
    federation = Federation(type="federation", audience=WORKFORCE_AUDIENCE, user_project=theirs.projects[0])
    ours = tuple(
        connection.model_copy(
            update={"credential": federation if isinstance(connection.credential, Federation) else theirs.credential}
        )
        for connection in own.connections
    )
    if any(theirs.projects[0] in connection.projects for connection in ours):
        return ours
    first = ours[0].model_copy(update={"projects": (*ours[0].projects, theirs.projects[0])})
    return (first, *ours[1:])


def supposed() -> Config:
    """A configuration as a sandbox has it, for whoever has none: nothing in it leads anywhere."""
    from hoop_mitm.devkit.seed import PROJECT

    return Config.model_validate({
        "identity": {"issuers": [{"issuer": "http://127.0.0.1", "audiences": ["sandbox"]}]},
        "connections": [{"name": "acme", "projects": [PROJECT], "credential": {"type": "adc"}}],
        "policy": ANALYSTS_READ,
    })  # fmt: skip


def person(config: Config, name: str) -> Principal | None:
    """Who is called so (``alice``, ``ci``, or their address) in a local world; ``None`` where ``config`` is for no such, or
    knows nobody by that name."""
    from hoop_mitm.devkit.issuer import PEOPLE, machines

    if not all(is_loopback(urlsplit(issuer.issuer).hostname or "") for issuer in config.identity.issuers):
        return None
    for kind, users in (("user", PEOPLE), ("machine", machines())):
        for user in users:
            if name in (user.name, user.email):
                issuer = config.identity.issuers[0].issuer
                return Principal(issuer, user.subject, user.email, user.groups, cast("Kind", kind))
    return None
