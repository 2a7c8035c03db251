"""``hoop.yaml``: its shape, and how it is read.

Knows nothing of the rest of hoop-mitm; everything else takes its settings from here as frozen models.
"""

from hoop_mitm.config.cost import Budget, Ceiling, Cost
from hoop_mitm.config.loader import load, load_rules, rules_of
from hoop_mitm.config.model import (
    ApplicationDefault,
    Claims,
    Config,
    Connection,
    CredentialConfig,
    Federation,
    Gateway,
    Identity,
    Impersonation,
    Issuer,
    Keep,
    Reconcile,
    Recording,
    ServiceAccountKey,
    SessionTokens,
    Upstream,
    is_loopback,
    split_host_port,
)
from hoop_mitm.config.policy import Rule, RuleSet

__all__ = [
    "ApplicationDefault",
    "Budget",
    "Ceiling",
    "Claims",
    "Config",
    "Connection",
    "Cost",
    "CredentialConfig",
    "Federation",
    "Gateway",
    "Identity",
    "Impersonation",
    "Issuer",
    "Keep",
    "Reconcile",
    "Recording",
    "Rule",
    "RuleSet",
    "ServiceAccountKey",
    "SessionTokens",
    "Upstream",
    "is_loopback",
    "load",
    "load_rules",
    "rules_of",
    "split_host_port",
]
