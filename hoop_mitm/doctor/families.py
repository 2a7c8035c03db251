"""Does each family of clients on this machine trust the gateway, by its own program and its own settings?

Each is asked in the environment that clients have. Where a family's program is not here, or cannot say, the roots that
it is given are looked into instead.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hoop_mitm.client.bundle import certificates_in
from hoop_mitm.doctor.finding import Finding, NotChecked
from hoop_mitm.doctor.patient import Patient

_PROBES = Path(__file__).parent / "probes"
_SECONDS = 60
_UNTRUSTED = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLError|CERTIFICATE_UNKNOWN", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Family:
    """A family of clients.

    Attributes:
        name: in words.
        variable: names the roots that it trusts, and nothing else does for it.
        program: asked for on ``PATH``; ``None``: none is run for it.
        ask: the command line to run, given the program.
        hear: what the finished program says: trusted, untrusted, direct, absent, or anything else.
    """

    name: str
    variable: str
    program: tuple[str, ...] = ()
    ask: Callable[[str], list[str]] = lambda program: [program]
    hear: Callable[[subprocess.CompletedProcess[str]], str] = lambda done: (done.stdout.split() or ["failed"])[0]


def _script(name: str) -> Callable[[str], list[str]]:
    return lambda program: [program, str(_PROBES / name)]


def _gcloud(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return "trusted"
    return "untrusted" if _UNTRUSTED.search(done.stderr) else "failed"


FAMILIES = (
    Family("Python (REST)", "REQUESTS_CA_BUNDLE", ("python3", "python"), _script("python_rest.py")),
    Family(
        "Python (gRPC, Storage API)",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        ("python3", "python"),
        _script("python_grpc.py"),
    ),
    Family("Node.js", "NODE_EXTRA_CA_CERTS", ("node",), _script("node.cjs")),
    Family("Go (MCP Toolbox)", "SSL_CERT_FILE"),
    Family(
        "gcloud and bq",
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
        ("gcloud",),
        # It trades a token, which is the only thing that it does without asking Google for more.
        lambda program: [program, "auth", "print-access-token", "--quiet"],
        _gcloud,
    ),
)


def trust(patient: Patient) -> Iterator[Finding]:
    """One finding for each family that does not trust the gateway, or does not ask it."""
    if not patient.listener:
        raise NotChecked("the gateway is not reached")
    if patient.client_file is None:
        raise NotChecked("there is no client file here: no clients are started")
    environment = patient.clients_environment
    with ThreadPoolExecutor() as threads:
        heard = threads.map(lambda family: _heard(family, environment, patient.scratch), FAMILIES)
    ours = certificates_in(patient.authority)
    for family, word in zip(FAMILIES, heard, strict=True):
        if word in ("absent", "failed"):
            yield from _by_its_file(family, environment, ours)
        elif word == "untrusted":
            yield Finding(
                f"trust.{family.variable.lower()}",
                "broken",
                f"{family.name} on this machine does not trust the gateway ({family.variable}).",
                "Its clients fail with a certificate error before they ask anything.",
                f"Let {family.variable} name a bundle with the machine's roots and the gateway's authority, as "
                "`hoop-mitm run` and `hoop-mitm env` do.",
            )
        elif word == "direct":
            yield Finding(
                f"trust.{family.variable.lower()}.direct",
                "broken",
                f"{family.name} on this machine does not ask the gateway: it sees no proxy.",
                "What it asks is not recorded, and fails where direct access is closed.",
                "Set both HTTPS_PROXY and https_proxy, as `hoop-mitm run` and `hoop-mitm env` do.",
            )


def _heard(family: Family, environment: Mapping[str, str], scratch: Path) -> str:
    found = next(filter(None, (shutil.which(name, path=environment.get("PATH")) for name in family.program)), None)
    if found is None:
        return "absent"
    try:
        done = subprocess.run(  # noqa: S603 - our own script, by the user's own interpreter
            family.ask(found),
            env=dict(environment),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "failed"
    return family.hear(done)


def _by_its_file(family: Family, environment: Mapping[str, str], ours: frozenset[str]) -> Iterator[Finding]:
    """A program that is not on PATH may come with some server's package: what it would trust is looked into."""
    named = environment.get(family.variable)
    if named and ours <= certificates_in(Path(named)):
        return
    yield Finding(
        f"trust.{family.variable.lower()}",
        "warning",
        f"{family.variable} {'names ' + named + ', which lacks the' if named else 'is not set, so nothing names the'} "
        "gateway's authority.",
        f"Programs of the family {family.name} would fail with a certificate error.",
        f"Let {family.variable} name a bundle with the machine's roots and the gateway's authority, as `hoop-mitm run` "
        "and `hoop-mitm env` do.",
    )
