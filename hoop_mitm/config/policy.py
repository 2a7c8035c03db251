"""The policy's part of ``hoop.yaml``: rules in their order."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from hoop_mitm.config.basics import Bytes, Duration, Model, Text
from hoop_mitm.config.conditions import ConditionText

_TABLE = re.compile(r"[^.\s`\[\]?]+(?:\.[^.\s`\[\]?]+){0,2}")


def _table_pattern(value: str) -> str:
    # Google's old domain-scoped projects have a dot before the colon (acme.com:crm).
    if not _TABLE.fullmatch(re.sub(r"^[a-z0-9.-]+:", "", value)):
        raise ValueError("write project.dataset.table, with * for any characters (`acme.shop.*`), and no backticks")
    if "." not in value and value != "*":
        raise ValueError("name the dataset too: `shop.orders`, `shop.*`, or `*` for everything")
    return value


TablePattern = Annotated[str, AfterValidator(_table_pattern)]


class ReviewWords(Model):
    """Who has to say yes, for `verdict: review`."""

    groups: tuple[Text, ...] = Field(min_length=1, description="reviewers are the members of any of these groups")
    min_approvals: int = Field(
        default=1, ge=1, le=10, description="how many different people must approve; never the one who asks"
    )
    expires: Duration = Field(
        default=timedelta(hours=24), gt=timedelta(0), description="after that nobody can approve it any more"
    )


class Rule(Model):
    """One rule. It matches when everything that it says holds; what it does not say, it does not look at.

    A rule with the verdict `allow` must cover all that is asked: each table, each kind of statement. One with `deny` or
    `review` matches when it covers any of it.
    """

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,62}$",
        description="what it is called in answers and recordings, as `policy.NAME`",
    )
    verdict: Literal["allow", "deny", "review"] = Field(description="what is said when it matches")
    groups: tuple[Text, ...] = Field(
        default=(), description="members of these groups; together with `principals`, whoever is named by either"
    )
    principals: tuple[Text, ...] = Field(
        default=(),
        description="people and workloads, by e-mail address (`*@acme.com` too), subject (without `@`), or `issuer#subject`",
    )
    connections: tuple[Text, ...] = Field(default=(), description="what goes through one of these")
    doors: tuple[Text, ...] = Field(
        default=(), description="BigQuery's methods (`tables.delete`, `storage.*`); see docs/doors.md"
    )
    verbs: tuple[Literal["read", "write", "admin", "metadata"], ...] = Field(
        default=(), description="the most that is done is one of these"
    )
    read_only: bool = Field(default=False, description="short for `verbs: [read, metadata]`: it changes nothing")
    kinds: tuple[Annotated[str, Field(pattern=r"^[A-Z*][A-Z0-9_*]*$")], ...] = Field(
        default=(),
        description="BigQuery's words for statements (`SELECT`, `CREATE_*`, `EXPORT_DATA`); a script is a `SCRIPT` besides",
    )
    tables: tuple[TablePattern, ...] = Field(
        default=(), description="`project.dataset.table` with `*`; without a project, in any"
    )
    behind_views: bool = Field(
        default=True,
        description="whether the `tables` of a `deny` or `review` are looked for behind views too, which takes a dry run; "
        "an `allow` goes by the names in the statement, as BigQuery's own grants do",
    )
    max_bytes: Bytes | None = Field(
        default=None, description="it would read at most so much (`10GB`, `1TiB`), by BigQuery's own dry run"
    )
    over_bytes: Bytes | None = Field(default=None, description="it would read more than that")
    opaque: bool = Field(
        default=False,
        description="an `allow` with this matches statements that cannot be understood, and legacy SQL; without it never",
    )
    when: ConditionText | None = Field(
        default=None, description="a condition in CEL over the variables of docs/policy.md"
    )
    message: str = Field(
        default="", max_length=1000, description="what the client's user reads first, when it is not allowed"
    )
    review: ReviewWords | None = Field(default=None, description="for `verdict: review`")
    mode: Literal["enforce", "observe"] | None = Field(
        default=None, description="`observe`: it decides nothing, and what it would have said is recorded"
    )

    @model_validator(mode="after")
    def _review_has_reviewers(self) -> "Rule":
        if (self.verdict == "review") != (self.review is not None):
            raise ValueError(
                f"{self.name}: `verdict: review` and `review:` (its groups) go together; give both or neither"
            )
        return self

    @model_validator(mode="after")
    def _words_fit_each_other(self) -> "Rule":
        if self.read_only and self.verbs:
            raise ValueError(f"{self.name}: `read_only` is short for `verbs: [read, metadata]`; write one of them")
        if self.opaque and self.verdict != "allow":
            raise ValueError(
                f"{self.name}: `opaque` is for `allow`; a {self.verdict} meets what cannot be understood anyway"
            )
        if self.message and self.verdict == "allow":
            raise ValueError(f"{self.name}: an `allow` has nobody to tell its message to")
        return self


class RuleSet(Model):
    """Rules in their order: the first that matches decides, and what none matches is denied."""

    mode: Literal["enforce", "observe"] = Field(
        default="enforce",
        description="of every rule that says nothing else, and of the denial where no rule matches",
    )
    rules: tuple[Rule, ...] = Field(default=(), description="in their order; the first that matches decides")

    @field_validator("rules")
    @classmethod
    def _names_differ(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        for index, rule in enumerate(rules):
            if any(rule.name == other.name for other in rules[:index]):
                raise ValueError(f"two rules are called {rule.name}; a name is used once")
            if rule.name in RESERVED_NAMES:
                raise ValueError(f"{rule.name} is what hoop-mitm calls a decision of its own; take another name")
        return rules


RESERVED_NAMES = frozenset({"default", "own", "disagreement"})
"""Names of decisions that no rule makes: ``policy.default`` and its like."""


class PolicyWords(RuleSet):
    """Who may do what. Without this section everything is allowed, and recorded; with it, what no rule allows is denied."""

    file: Path | None = Field(
        default=None, description="a file that holds `mode` and `rules` instead; it is read again when it changes"
    )

    @model_validator(mode="after")
    def _has_one_place(self) -> "PolicyWords":
        if (self.file is not None) == bool(self.rules):
            raise ValueError("give it `rules`, or a `file` that holds them")
        if self.file is not None and "mode" in self.model_fields_set:
            raise ValueError("`mode` belongs into the `file`, beside its rules")
        return self
