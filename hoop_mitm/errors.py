"""Every error that hoop-mitm raises on purpose.

    HoopError
    ├── ConfigError         hoop.yaml, or an option, is wrong: nothing starts
    ├── IdentityError       we do not know who asks: the request goes nowhere
    ├── LoginError          signing in did not succeed, or is over: nobody is signed in on this machine
    │   └── Unreachable     the issuer, or the gateway, does not answer
    ├── NoGateway           no gateway of ours answers where clients are sent: they are not started
    ├── Denied              we know who asks, and the answer is no
    │   └── EstimateRefused BigQuery would not run it either, and says why
    ├── CredentialError     Google's credential cannot be had just now
    ├── AskingError         BigQuery cannot be asked what ran
    ├── RecordingError      the journal cannot be written: requests are refused
    ├── HeldError           a hold, or that there is none, forbids what was asked for
    ├── ArchiveError        a recording cannot be reached, opened or understood
    │   ├── ArchiveBusy     somebody else has it open just now
    │   └── NotInArchive    it opened, but holds no such session, job or flow
    └── SandboxError        the local world did not come up

The text of each is for a person: what happened, to what, and what to do next.
None ever holds a secret, not even a shortened one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hoop_mitm.identity.principal import Principal


class HoopError(Exception):
    """The root. ``exit_code`` is what the command line returns for it (docs: exit codes)."""

    exit_code = 2


class ConfigError(HoopError):
    """The configuration is wrong; ``file`` and ``line`` (1-based) say where, when that is known."""

    def __init__(self, message: str, *, file: Path | None = None, line: int | None = None) -> None:
        self.message = message
        self.file = file
        self.line = line
        where = ":".join(str(part) for part in (file, line) if part is not None)
        super().__init__(f"{where}: {message}" if where else message)


class IdentityError(HoopError):
    """No valid identity came with a request.

    ``reason`` is a short stable word for records and tests (``expired``, ``wrong_audience``,
    ``unknown_key`` …); the message is what the client's user reads. ``principal`` is whose token it was, where that is
    certain: it was good once, and is refused for another reason.
    """

    def __init__(self, reason: str, message: str, principal: "Principal | None" = None) -> None:
        self.reason = reason
        self.principal = principal
        super().__init__(message)


class LoginError(HoopError):
    """Nobody is signed in, or signing in did not succeed; the message says how to sign in."""

    exit_code = 1


class Unreachable(LoginError):
    """What signing in needs does not answer: the issuer, or the gateway."""

    exit_code = 3


class NoGateway(HoopError):
    """No gateway of ours answers where clients are to be sent, and none can be started there."""

    exit_code = 3


class Denied(HoopError):
    """The principal is known and may not do this. ``rule`` names what said no."""

    exit_code = 1

    def __init__(self, rule: str, message: str) -> None:
        self.rule = rule
        super().__init__(message)


class EstimateRefused(Denied):
    """BigQuery refused the dry run of a statement: its answer (HTTP ``status`` and ``body``) is what the client gets."""

    def __init__(self, status: int, body: bytes, message: str) -> None:
        self.status = status
        self.body = body
        super().__init__("cost.refused_by_bigquery", message)


class CredentialError(HoopError):
    """The gateway could not obtain Google's credential for a connection."""

    exit_code = 3


class AskingError(HoopError):
    """BigQuery could not be asked about its jobs, or refused to tell: ``why``, and ``next_step``."""

    exit_code = 3

    def __init__(self, why: str, next_step: str) -> None:
        self.why = why
        self.next_step = next_step
        super().__init__(f"{why} {next_step}")


class RecordingError(HoopError):
    """A record could not be made durable."""

    exit_code = 3


class HeldError(HoopError):
    """A session is on hold, so nothing of it may be deleted; or it is not, so no hold can end."""

    exit_code = 1


class ArchiveError(HoopError):
    """A recording cannot be reached, opened or understood."""

    exit_code = 3


class ArchiveBusy(ArchiveError):
    """Somebody else has the recording open, and did not let it go."""


class NotInArchive(ArchiveError):
    """The archive holds nothing by that reference."""

    exit_code = 2


class SandboxError(HoopError):
    """A part of the local world did not start or died."""

    exit_code = 3
