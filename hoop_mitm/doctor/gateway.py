"""Is the gateway there, is it ours, and is its authority good for a while?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from hoop_mitm.doctor.finding import Finding
from hoop_mitm.doctor.patient import Patient
from hoop_mitm.errors import ConfigError

_SOON = timedelta(days=3)


def configuration(patient: Patient) -> Iterator[Finding]:
    """hoop.yaml, where it is here."""
    try:
        config = patient.config
    except ConfigError as error:
        yield Finding(
            "config.invalid",
            "broken",
            f"The gateway's configuration is wrong: {error}",
            "The gateway does not start with it, or goes on with what it said before.",
            "Mend that line, and start the gateway again.",
        )
        return
    missing = [name for name in patient.profile.connections if config and not _has(config.connections, name)]
    for name in missing:
        yield Finding(
            "config.no_connection",
            "broken",
            f"The client file has a connection {name}, which the gateway does not know.",
            "Clients that ask for it are refused.",
            f"Name it under `connections` in {patient.config_file or patient.profile.gateway.config}, or take it out "
            f"of {patient.client_file}.",
        )


def reached(patient: Patient) -> Iterator[Finding]:
    """The listener."""
    try:
        found = patient.listener
    except ConfigError as error:
        yield Finding(
            "authority.missing",
            "broken",
            f"{error}.",
            "Clients cannot tell the gateway from a stranger, and refuse to talk to either.",
            "Start the gateway once, or ask its owner for the certificate and name it under gateway.ca in "
            f"{patient.client_file}.",
        )
        return
    match found.listener:
        case "nobody":
            here = patient.profile.gateway.config is not None
            yield Finding(
                "gateway.down",
                "broken",
                f"There is no gateway at {patient.url}: {found.why}.",
                "Clients that are set up for it do not reach BigQuery. (`hoop-mitm run` would start one.)",
                "`hoop-mitm setup cursor --service` has it run always; `hoop-mitm proxy` runs it in a terminal."
                if here
                else "Ask whoever runs it; or the address in the client file is not right any more.",
            )
        case "stranger":
            yield Finding(
                "gateway.stranger",
                "broken",
                f"What listens at {patient.url} is not your gateway: {found.why}.",
                "Clients would give their sign-in tokens to it, if they trusted it.",
                "End that program, or let the gateway listen elsewhere (gateway.listen in hoop.yaml, gateway.url in "
                f"{patient.client_file}). If the gateway's authority was renewed, get its new certificate.",
            )


def authority(patient: Patient) -> Iterator[Finding]:
    """How long its certificate is good."""
    try:
        held = x509.load_pem_x509_certificates(patient.authority.read_bytes())
    except ConfigError:
        return  # Said by `reached`.
    except (OSError, ValueError):
        yield Finding(
            "authority.unreadable",
            "broken",
            f"{patient.authority} holds no certificate that can be read.",
            "Clients cannot trust the gateway.",
            "Get it anew: `hoop-mitm ca show` at the gateway says where it is.",
        )
        return
    now = datetime.fromtimestamp(patient.clock(), UTC)
    until = max(each.not_valid_after_utc for each in held)
    if until - now > _SOON:
        return
    over = until <= now
    yield Finding(
        "authority.expired" if over else "authority.expiring",
        "broken" if over else "warning",
        f"The gateway's authority {'ended' if over else 'ends'} on {until:%Y-%m-%d %H:%M} UTC ({patient.authority}).",
        "Clients refuse the gateway from then on.",
        "A gateway that runs renews it by itself: start it again, or `hoop-mitm ca renew --now`. Elsewhere, get its new "
        "certificate from its owner.",
    )


def _has(connections: object, name: str) -> bool:
    return any(each.name == name for each in connections)  # type: ignore[attr-defined] # a tuple of Connection
