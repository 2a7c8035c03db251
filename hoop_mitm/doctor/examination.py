"""All checks, in their order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hoop_mitm.doctor import families, gateway, leftovers, secrets, settings, sign_in, variables
from hoop_mitm.doctor.finding import Finding, NotChecked
from hoop_mitm.doctor.patient import Patient
from hoop_mitm.errors import ConfigError

type Check = Callable[[Patient], Iterator[Finding]]

#: Name, what a reader is told that it looks at, and the check.
CHECKS: Sequence[tuple[str, str, Check]] = (
    ("configuration", "hoop.yaml is right", gateway.configuration),
    ("gateway", "the gateway answers, and is yours", gateway.reached),
    ("authority", "its authority is good for a while", gateway.authority),
    ("variables", "this shell's variables agree", variables.contradictions),
    ("login", "you are signed in", sign_in.login),
    ("clock", "the clock agrees with the issuer's", sign_in.clock),
    ("trust", "clients on this machine trust the gateway", families.trust),
    ("query", "a dry run is answered", sign_in.query),
    ("leftovers", "no Google credential leads past the gateway", leftovers.leftovers),
    ("secrets", "nobody reads what is the gateway's alone", secrets.secrets),
    ("settings", "what was set up in editors is there and up to date", settings.settings),
)


@dataclass(frozen=True, slots=True)
class Examined:
    """What one check found. ``not_checked`` says why it was not made."""

    name: str
    title: str
    findings: tuple[Finding, ...]
    not_checked: str | None = None


def examine(patient: Patient) -> Iterator[Examined]:
    """Make all checks, one after the other; each result comes as soon as it is there."""
    leads_past = False
    for name, title, check in CHECKS:
        if name == "trust" and leads_past:
            # Asking clients would have them ask Google.
            yield Examined(name, title, (), "this shell's variables lead past the gateway")
            continue
        try:
            found = tuple(check(patient))
        except NotChecked as reason:
            yield Examined(name, title, (), str(reason))
            continue
        except ConfigError as error:
            yield Examined(name, title, (), str(error))
            continue
        leads_past = leads_past or (name == "variables" and any(each.level == "broken" for each in found))
        yield Examined(name, title, found)
