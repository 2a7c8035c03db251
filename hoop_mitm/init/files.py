"""The two files that `init` writes: what the gateway is, and what a client needs to know of it."""

import difflib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from hoop_mitm.errors import ConfigError
from hoop_mitm.init.answers import Answers

# YAML takes JSON's texts, lists and objects as they are, whatever stands in them.
_said = json.dumps


def hoop_yaml(answers: Answers) -> str:
    """A commented hoop.yaml."""
    return "\n".join(
        [
            "# What this gateway is. Every setting, with its meaning and default: docs/configuration.md.",
            "# `hoop-mitm init` without options checks it after a change; `hoop-mitm proxy` runs it.",
            "version: 1",
            "",
            "gateway:",
            "  # What clients use as their proxy. Beyond this machine it needs `others: refuse`, and TLS in front.",
            f"  listen: {_said(answers.listen)}",
            "  certs: certs      # the authority that clients trust; it can vouch for Google's BigQuery and token hosts only",
            "  state: .hoop      # signing keys and revocations: for the gateway's user alone",
            *_upstream(answers),
            "",
            "identity:",
            "  issuers:",
            "    # Who signs people in. More than one may stand here; machines (GitHub Actions, Kubernetes) are issuers",
            "    # with `kind: machine`.",
            f"    - issuer: {_said(answers.issuer)}",
            "      # The application's client id: tokens for any other application are refused.",
            f"      audiences: [{_said(answers.client_id)}]",
            *([f"      ca: {_said(str(answers.issuer_ca))}"] if answers.issuer_ca else []),
            *_require(answers),
            *_groups(answers),
            "",
            "connections:",
            "  # A name for recordings and tokens, the projects that requests may name, and how Google is reached.",
            f"  - name: {_said(answers.connection)}",
            f"    projects: {_said(list(answers.projects))}",
            *_credential(answers),
            "    # groups: [analysts]   # who may use it; without this everybody whom the issuer signs in",
            "    # recording: full      # or statements, metadata, off",
            "",
            "recording:",
            "  directory: recordings",
            "",
        ]
    )


def client_yaml(answers: Answers, config: Path, certs: Path) -> str:
    """The client file for a gateway whose hoop.yaml is ``config``. It holds no secret of a person's."""
    google = [
        "scopes: [openid, email, profile]",
        "parameters: {access_type: offline, prompt: consent}   # else Google gives nothing to renew a login with",
    ]
    return "\n".join(
        [
            "# How hoop-mitm signs you in and finds the gateway. It holds no secret of yours and can be handed out;",
            "# elsewhere than on this machine without `config`, and with `url` and `ca` as they are seen from there.",
            "version: 1",
            f"issuer: {_said(answers.issuer)}",
            f"client_id: {_said(answers.client_id)}",
            *([f"client_secret: {_said(answers.client_secret)}"] if answers.client_secret else []),
            *(google if answers.is_google else []),
            *([f"ca: {_said(str(answers.issuer_ca))}"] if answers.issuer_ca else []),
            "gateway:",
            f"  url: {_said(f'http://{answers.listen}')}",
            f"  ca: {_said(str(certs / 'mitmproxy-ca-cert.pem'))}",
            f"  config: {_said(str(config))}   # `hoop-mitm run` starts it when it does not run",
            "connections:",
            f"  {_said(answers.connection)}: {_said(list(answers.projects))}",
            "",
        ]
    )


def _upstream(answers: Answers) -> list[str]:
    if not (answers.upstream_hosts or answers.upstream_ca):
        return []
    return [
        "  upstream:",
        *([f"    ca: {_said(str(answers.upstream_ca))}"] if answers.upstream_ca else []),
        *([f"    hosts: {_said(answers.upstream_hosts)}"] if answers.upstream_hosts else []),
    ]


def _require(answers: Answers) -> list[str]:
    if not answers.require:
        return []
    return [
        "      # Claims that a token must carry, with the accepted values.",
        f"      require: {_said({name: list(values) for name, values in answers.require.items()})}",
    ]


def _groups(answers: Answers) -> list[str]:
    if not answers.groups:
        return []
    return [
        "      # This issuer names no groups, so they stand here, by e-mail address.",
        f"      groups: {_said({email: list(groups) for email, groups in answers.groups.items()})}",
    ]


def _credential(answers: Answers) -> list[str]:
    match answers.credential:
        case "federation":
            return [
                "    credential:",
                "      # The person's own token is traded at Google's STS; the gateway holds no key, and Google sees the person.",
                "      type: federation",
                f"      audience: {_said(answers.target)}",
                *(
                    [f"      user_project: {_said(answers.projects[0])}"]
                    if "workforcePools" in str(answers.target)
                    else []
                ),
            ]
        case "impersonation":
            return [
                "    credential:",
                "      # The gateway's own Google login impersonates this account: there is no key file to steal.",
                "      type: impersonation",
                f"      service_account: {_said(answers.target)}",
            ]
        case "service_account":
            return [
                "    credential:",
                "      # Whoever can read this key can go around the gateway: keep it to the gateway's user.",
                "      type: service_account",
                f"      key_file: {_said(str(answers.target))}",
            ]
        case "adc":
            return ["    credential:", "      type: adc   # the application default credential of the gateway's user"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A file as it is to be."""

    path: Path
    text: str
    mode: int = 0o644

    @property
    def is_there(self) -> bool:
        """Whether the file says this already."""
        return self._now() == self.text

    @property
    def differs(self) -> bool:
        """Whether a file is there that says something else."""
        return self._now() not in (None, self.text)

    def diff(self) -> str:
        """What would change, as a unified diff."""
        lines = (self._now() or "").splitlines(keepends=True)
        return "".join(
            difflib.unified_diff(lines, self.text.splitlines(keepends=True), str(self.path), f"{self.path} (new)")
        )

    def write(self) -> Path | None:
        """Puts the file in place, in one step; where the one that was there has gone, if it said something else.

        Raises:
            ConfigError: it cannot be written.
        """
        backup = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.differs:
                backup = self.path.with_name(f"{self.path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S}.bak")
                _put(backup, self.path.read_bytes(), self.path.stat().st_mode & 0o777)
            _put(self.path, self.text.encode(), self.mode)
        except OSError as error:
            raise ConfigError(f"this cannot be written: {error.strerror}", file=self.path) from None
        return backup

    def _now(self) -> str | None:
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"this cannot be read: {error}", file=self.path) from None


def _put(path: Path, data: bytes, mode: int) -> None:
    """In one step; what is not there yet is open to nobody else, and no link that somebody left there is followed."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
