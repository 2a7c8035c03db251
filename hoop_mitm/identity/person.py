"""A person by all their names, as they are looked for when they are to be forgotten."""

from dataclasses import dataclass
from typing import ClassVar

from hoop_mitm.identity.principal import Principal


@dataclass(frozen=True, slots=True)
class Person:
    """``keys`` are their principals' (:attr:`Principal.key`), ``emails`` their addresses in lower case."""

    keys: frozenset[str]
    emails: frozenset[str]

    NOBODY: ClassVar["Person"]

    @classmethod
    def called(cls, who: str) -> "Person":
        """Whoever has this e-mail address, or is ``ISSUER#SUBJECT``; nobody, when it is neither."""
        is_key = "#" in who
        return cls(frozenset({who} if is_key else ()), frozenset({who.lower()} if "@" in who and not is_key else ()))

    def is_(self, principal: Principal | None) -> bool:
        """Whether a principal is theirs."""
        return principal is not None and (principal.key in self.keys or self.has_email(principal.email))

    def has_email(self, text: str | None) -> bool:
        """Whether a text is an address of theirs."""
        return text is not None and text.lower() in self.emails

    def of(self, principal: Principal) -> "Person":
        """The same with this principal."""
        emails = {principal.email.lower()} if principal.email else set()
        return Person(self.keys | {principal.key}, self.emails | emails)


Person.NOBODY = Person(frozenset(), frozenset())
