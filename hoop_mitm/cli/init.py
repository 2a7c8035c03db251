"""``hoop-mitm init``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hoop_mitm.cli.options import client_option, config_option
from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.config import Config
    from hoop_mitm.init import Answers, Draft
    from hoop_mitm.login import ClientProfile

_NEEDS = {
    "federation": ("pool", "Audience of the workforce or workload identity pool provider (//iam.googleapis.com/…)"),
    "impersonation": ("service_account", "E-mail address of the service account to impersonate"),
    "service_account": ("key_file", "Key file of the service account"),
}

_WAYS = """How does the gateway reach Google?
  federation       each person's own token is traded; no key
  impersonation    its own Google login takes on a service account; no key file
  adc              its own Google login
  service_account  a key file"""


@click.command(
    epilog="""\b
Examples:
  hoop-mitm init
  hoop-mitm init --issuer https://login.acme.example --client-id 0oa1 --project acme-analytics \\
      --credential federation --pool //iam.googleapis.com/locations/global/workforcePools/acme/providers/okta
  hoop-mitm init --solo --client-id 12.apps.googleusercontent.com --client-secret … --email you@acme.example \\
      --project acme-dev --credential impersonation --service-account bq@acme-dev.iam.gserviceaccount.com
"""
)
@config_option
@client_option
@click.option("--issuer", help="Who signs people in: the `iss` of its tokens.")
@click.option("--client-id", help="The application's id at the issuer.")
@click.option("--client-secret", help="For issuers that give installed applications one, as Google does.")
@click.option("--project", "projects", multiple=True, help="A Google Cloud project; the first is the clients' default.")
@click.option(
    "--credential",
    type=click.Choice(["federation", "impersonation", "adc", "service_account"]),
    help="How the gateway reaches Google.",
)
@click.option("--pool", help="For federation: audience of the pool's provider.")
@click.option("--service-account", help="For impersonation: the account's e-mail address.")
@click.option("--key-file", help="For service_account: the key file.")
@click.option(
    "--connection", default="warehouse", show_default=True, help="What the connection is called in recordings."
)
@click.option("--require", "required", multiple=True, help="CLAIM=VALUE that a token must carry; may be repeated.")
@click.option("--solo", is_flag=True, help="Google signs you in, without your company's identity provider.")
@click.option("--email", help="With --solo: your address; nobody else is let in.")
@click.option("--group", "groups", multiple=True, help="With --solo: a group that you are in.  [default: analysts]")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="host:port of the gateway.")
@click.option("--issuer-ca", type=click.Path(path_type=Path, exists=True), help="PEM bundle to verify the issuer with.")
@click.option("--upstream-ca", type=click.Path(path_type=Path, exists=True), help="PEM bundle to verify Google with.")
@click.option("--upstream-host", "hosts", multiple=True, help="HOST=HOST:PORT to connect to instead; may be repeated.")
@click.option("--no-check", is_flag=True, help="Do not ask the issuer and Google whether they answer.")
@click.option("--force", is_flag=True, help="Replace files that say something else; they are kept as .bak.")
def init(*, config: Path | None, client: Path | None, no_check: bool, force: bool, **given: Any) -> None:
    """Describe a gateway, and make all that it needs.

    Asks for what no option says (on a terminal). Writes a commented hoop.yaml, the client file that `login` and `run`
    read, the certificate authority and the signing keys, and checks that the issuer and Google answer. Run again, it
    checks what is there; it never replaces a file that says something else, unless --force says so. The exit status is
    1 when a check failed or a file was in the way.
    """
    from hoop_mitm.config import load
    from hoop_mitm.init import make_keys
    from hoop_mitm.login import load_profile
    from hoop_mitm.login.profile import chosen_file

    file, client_file = (config or Path("hoop.yaml")).absolute(), chosen_file(client).absolute()
    if not (_is_answered(given) or not file.exists()):
        click.echo(f"{file} is there, and is checked. Options would describe another one.", err=True)
        settings = load(file)
        _place([_client_of(settings, file, client_file)] if not client_file.exists() else [], force=force)
    else:
        answers = _answers(given)
        drafts = _drafts(answers, file, client_file)
        _place(drafts, force=force)
        settings = load(file)
    for place in make_keys(settings):
        click.echo(f"made or found: {place}", err=True)
    good = no_check or _check(settings, load_profile(client_file))
    if not good:
        click.echo("Nothing is lost: put it right, and run `hoop-mitm init` again.", err=True)
        click.get_current_context().exit(1)
    click.echo("Next: hoop-mitm login", err=True)


def _is_answered(given: dict[str, Any]) -> bool:
    """Whether an option says something of the gateway itself."""
    context = click.get_current_context()
    return any(context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in given)


def _answers(given: dict[str, Any]) -> "Answers":
    from hoop_mitm.init.answers import GOOGLE, Answers

    solo = given["solo"]
    if solo and given["issuer"] not in (None, GOOGLE):
        raise click.UsageError("--solo means that Google signs you in; leave --issuer out.")
    issuer = GOOGLE if solo else _ask(given, "issuer", "Issuer (the `iss` of its tokens, https://…)")
    client_id = _ask(given, "client_id", "Client id of the application at the issuer")
    secret = given["client_secret"]
    if issuer == GOOGLE and secret is None:
        secret = _ask(given, "client_secret", "Client secret (Google gives installed applications one)", hide=True)
    projects = given["projects"] or (_ask(given, "project", "Google Cloud project"),)
    credential = given["credential"] or _choose(given)
    option, question = _NEEDS.get(credential, ("", ""))
    target = _ask(given, option, question) if option else None
    if option == "key_file":
        target = str(Path(str(target)).expanduser().absolute())
    require = _pairs(given["required"], "--require CLAIM=VALUE")
    groups: dict[str, tuple[str, ...]] = {}
    if solo:
        email = _ask(given, "email", "Your e-mail address at Google")
        require.setdefault("email", (email,))
        groups = {email: given["groups"] or ("analysts",)}
    return Answers(
        issuer=issuer,
        client_id=client_id,
        client_secret=secret,
        projects=tuple(projects),
        credential=credential,  # type: ignore[arg-type] # one of click's choices
        target=target,
        connection=given["connection"],
        require=require,
        groups=groups,
        solo=solo,
        listen=given["listen"],
        issuer_ca=given["issuer_ca"] and given["issuer_ca"].absolute(),
        upstream_ca=given["upstream_ca"] and given["upstream_ca"].absolute(),
        upstream_hosts={
            name: values[0] for name, values in _pairs(given["hosts"], "--upstream-host HOST=HOST:PORT").items()
        },
    )


def _ask(given: dict[str, Any], name: str, question: str, *, hide: bool = False) -> str:
    if given.get(name):
        return str(given[name])
    if not sys.stdin.isatty():
        _missing(name)
    return str(click.prompt(question, err=True, hide_input=hide)).strip()


def _choose(given: dict[str, Any]) -> str:
    if not sys.stdin.isatty():
        _missing("credential")
    click.echo(_WAYS, err=True)
    kinds = ["federation", "impersonation", "adc", "service_account"]
    return str(
        click.prompt(
            "Credential", type=click.Choice(kinds), default="impersonation" if given["solo"] else None, err=True
        )
    )


def _missing(name: str) -> NoReturn:
    raise click.UsageError(f"--{name.replace('_', '-')} is needed where nobody can be asked.")


def _pairs(texts: tuple[str, ...], shape: str) -> dict[str, tuple[str, ...]]:
    pairs: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"Write {shape}, and not {text!r}.")
        pairs[name] = (*pairs.get(name, ()), value)
    return pairs


def _drafts(answers: "Answers", file: Path, client_file: Path) -> "list[Draft]":
    """Both files, once hoop.yaml has been found to be a good one."""
    from tempfile import TemporaryDirectory

    from hoop_mitm.config import load
    from hoop_mitm.errors import ConfigError
    from hoop_mitm.init import Draft, client_yaml, hoop_yaml

    text = hoop_yaml(answers)
    with TemporaryDirectory() as place:
        trial = Path(place) / "hoop.yaml"
        trial.write_text(text)
        try:
            load(trial)
        except ConfigError as error:
            # In the words of the file: that is where it would stand.
            raise ConfigError(f"that would be no valid hoop.yaml: {error.message}") from None
    return [Draft(file, text), Draft(client_file, client_yaml(answers, file, file.parent / "certs"), 0o600)]


def _client_of(settings: "Config", file: Path, client_file: Path) -> "Draft":
    """A client file for a hoop.yaml that somebody else wrote: for its first issuer and connection."""
    from hoop_mitm.init import Answers, Draft, client_yaml

    people = next(
        (issuer for issuer in settings.identity.issuers if issuer.kind == "user"), settings.identity.issuers[0]
    )
    connection = settings.connections[0]
    answers = Answers(
        issuer=people.issuer,
        client_id=people.audiences[0],
        projects=connection.projects,
        credential="adc",
        connection=connection.name,
        listen=settings.gateway.listen,
        issuer_ca=people.ca,
    )
    return Draft(client_file, client_yaml(answers, file, settings.gateway.certs), 0o600)


def _place(drafts: "list[Draft]", *, force: bool) -> None:
    in_the_way = [draft for draft in drafts if draft.differs]
    if in_the_way and not force:
        for draft in in_the_way:
            click.echo(draft.diff(), nl=False)
        names = " and ".join(str(draft.path) for draft in in_the_way)
        click.echo(
            f"{names} would change as shown, so nothing was written. Edit by hand what you want of it, or let --force "
            "replace it (the file as it is is kept as .bak).",
            err=True,
        )
        click.get_current_context().exit(1)
    for draft in drafts:
        if draft.is_there:
            click.echo(f"unchanged: {draft.path}", err=True)
            continue
        backup = draft.write()
        click.echo(f"written: {draft.path}" + (f" (before: {backup})" if backup else ""), err=True)


def _check(settings: "Config", profile: "ClientProfile") -> bool:
    from hoop_mitm.cli import terminal
    from hoop_mitm.init import check_google, check_issuer

    with progress("Asking the issuer") as say:
        findings = check_issuer(profile)
        say("Asking Google")
        findings += check_google(settings)
    for finding in findings:
        mark = {"ok": "ok", "failed": "FAILED", "open": "not checked"}[finding.state]
        click.echo(f"{finding.what}: {mark}: {terminal.safe(finding.says)}", err=True)
    return all(finding.state != "failed" for finding in findings)
