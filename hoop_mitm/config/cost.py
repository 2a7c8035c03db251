"""What statements may cost, as ``hoop.yaml`` says it."""

from datetime import UTC, timedelta, tzinfo
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from hoop_mitm.config.basics import Bytes, Duration, Model, Text


def zone_of(name: str) -> tzinfo:
    """A time zone by its name. Raises ``ValueError`` in words for the user."""
    if name == "UTC":
        return UTC  # Also where the machine has no table of time zones.
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("write a time zone such as UTC or Europe/Berlin") from None


class Limit(Model):
    """To whom a limit applies, and how high it is: in bytes billed, or in money at `price_per_tib`."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="what it is called in denials, in `whoami` and in the recording"
    )
    groups: tuple[Text, ...] = Field(
        default=(), description="members of these groups; together with `principals`, whoever is named by either"
    )
    principals: tuple[Text, ...] = Field(
        default=(),
        description="people and workloads, by e-mail address, subject, or `issuer#subject`; compared without case, and "
        "without patterns (`*`)",
    )
    connections: tuple[Text, ...] = Field(default=(), description="only what goes through these; empty: through any")
    bytes: Bytes | None = Field(default=None, gt=0, description="such as `10GB` or `1TiB`; this or `money`")
    money: Decimal | None = Field(default=None, gt=0, description="in the currency of `price_per_tib`; this or `bytes`")

    @model_validator(mode="after")
    def _has_one_height(self) -> "Limit":
        if (self.bytes is None) == (self.money is None):
            raise ValueError(f"{self.name} needs one of `bytes` and `money`")
        return self


class Ceiling(Limit):
    """The most that one statement may be billed. Several that apply all hold."""


class Budget(Limit):
    """The most that may be billed in a time. Several that apply all hold."""

    per: Literal["principal", "group", "session", "connection"] = Field(
        description="who has such a budget each; that of a group is shared by its members"
    )
    every: Literal["hour", "day", "month"] = Field(description="when it begins anew, by the calendar of `timezone`")


class Cost(Model):
    """What statements may cost. With ceilings or budgets, a statement that one of them applies to is first tried by the
    gateway itself (a dry run), and forwarded with a `maximumBytesBilled`; nothing else is."""

    price_per_tib: Decimal = Field(
        default=Decimal("6.25"), gt=0, description="what a TiB billed costs, so that people read money"
    )
    currency: Text = Field(default="USD", description="of the price and of every `money`")
    timezone: str = Field(default="UTC", description="whose hours, days and months budgets go by (`Europe/Berlin`)")
    ceilings: tuple[Ceiling, ...] = Field(default=(), description="for each statement")
    budgets: tuple[Budget, ...] = Field(default=(), description="for all statements of a time together")
    inexact: Literal["refuse", "clamp"] = Field(
        default="refuse",
        description="what happens to statements of which BigQuery cannot say beforehand what they will be billed at most "
        "(scripts, external data): refused, or run with all that ceiling and budget leave, which is taken until the bill is "
        "known",
    )
    uncapped: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="what happens on ways that have no room for a limit, to whoever has one: Google's MCP server, and reading "
        "tables through the Storage API (results of queries are free there). What is allowed is held to the estimate, where "
        "there can be one, and not counted",
    )
    reuse_estimates: Duration = Field(
        default=timedelta(seconds=30), description="how long an estimate of exactly the same job is good"
    )

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, value: str) -> str:
        zone_of(value)
        return value

    @field_validator("ceilings", "budgets")
    @classmethod
    def _names_differ(cls, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
        names = [limit.name for limit in limits]
        if double := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two are called {double}; a name is used once")
        return limits
