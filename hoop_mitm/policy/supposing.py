"""A question that nobody asked: what if this person ran that statement?"""

from collections.abc import Sequence

from hoop_mitm.bigquery.operation import Door, Operation
from hoop_mitm.config import Config, Connection
from hoop_mitm.errors import ConfigError
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.estimate import Estimate
from hoop_mitm.policy.question import Question
from hoop_mitm.policy.reviews import reason_of
from hoop_mitm.sql import understand


def suppose(
    config: Config,
    statement: str,
    principal: Principal,
    *,
    connection: str | None = None,
    project: str | None = None,
    dataset: str | None = None,
    processed: int | None = None,
    dry_run: bool = False,
) -> Question:
    """The question that a query job would be, run by ``principal``.

    Args:
        connection: its name; the first one without it.
        project: that the job would run in; the connection's first without it.
        dataset: that tables without one are in.
        processed: bytes that it would read, as far as rules need to know.

    Raises:
        ConfigError: there is no such connection.
    """
    chosen = _connection(config, connection)
    project = project or chosen.projects[0]
    default = (project, dataset) if dataset else None
    facts = understand(statement, project=project, default_dataset=default)
    operation = Operation(
        door=Door("jobs.query", "admin", body="json"),
        project=project,
        projects=(project,),
        statement=statement,
        dry_run=dry_run,
        job_type="query",
        legacy_sql=False,
        default_dataset=default,
    )
    estimate = None
    if processed is not None:
        estimate = Estimate(processed, facts.kinds[0] if facts.kinds else "", facts.reads)
    return Question(
        principal=principal,
        connection=chosen.name,
        operation=operation,
        facts=facts,
        estimate=estimate,
        reason=reason_of(statement, {}),
    )


def principal_of(config: Config, name: str, groups: Sequence[str] | None) -> tuple[Principal, bool]:
    """Whoever is called so, and whether it is known which groups they are in.

    Groups are taken from ``groups``, or from what ``hoop.yaml`` says of the address (``identity.issuers[].groups``): what an
    identity provider would say in a token is not known here.
    """
    email = name if "@" in name else None
    issuer = config.identity.issuers[0]
    if groups is not None:
        return Principal(issuer.issuer, name, email, tuple(sorted(groups)), issuer.kind), True
    for each in config.identity.issuers:
        if name in each.groups:
            return Principal(each.issuer, name, email, tuple(sorted(each.groups[name])), each.kind), True
    return Principal(issuer.issuer, name, email, (), issuer.kind), False


def _connection(config: Config, name: str | None) -> Connection:
    found = [each for each in config.connections if name in (None, each.name)]
    if not found:
        raise ConfigError(
            f"there is no connection {name}; there are: {', '.join(each.name for each in config.connections)}"
        )
    return found[0]
