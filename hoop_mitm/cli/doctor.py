"""``hoop-mitm doctor``."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import client_option, config_option, json_option

if TYPE_CHECKING:
    from hoop_mitm.doctor import Examined


@click.command(
    epilog="""\b
Examples:
  hoop-mitm doctor
  hoop-mitm run -- hoop-mitm doctor
  hoop-mitm doctor --config /etc/hoop-mitm/hoop.yaml   # at a gateway where nobody signs in
  hoop-mitm doctor --json | jq '.findings[] | select(.level == "broken")'
"""
)
@client_option
@config_option
@json_option
def doctor(client: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Say what is wrong with the set-up, and what to do about it.

    Looked at are: the gateway and its authority; this shell's variables; your login; whether the clients that are
    found on this machine (Python, gRPC, Node.js, gcloud) trust the gateway; a dry run from end to end; Google
    credentials that would lead past the gateway; who can read its keys; what was set up in editors. Nothing is
    changed. Exit status 1 when something is broken, 0 with warnings only.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.doctor import Patient, examine
    from hoop_mitm.login import load_profile
    from hoop_mitm.login.profile import chosen_file

    done: list[Examined] = []
    with tempfile.TemporaryDirectory(prefix="hoop-mitm-") as scratch:
        file = chosen_file(client).absolute()
        if config and not client and not file.exists():
            patient = Patient.of_gateway(config, Path(scratch))
        else:
            patient = Patient(load_profile(client), file, Path(scratch), config_file=config)
        with progress("Looking") as say:
            for examined in examine(patient):
                done.append(examined)
                say(f"Looked whether {examined.title}")
    if as_json:
        terminal.print_json(_shape(done))
    else:
        for examined in done:
            _print(examined)
    findings = [finding for examined in done for finding in examined.findings]
    click.get_current_context().exit(int(any(finding.level == "broken" for finding in findings)))


def _shape(done: "list[Examined]") -> object:
    return {
        "findings": [{"check": each.name, **asdict(finding)} for each in done for finding in each.findings],
        "checks": [
            {"name": each.name, "fine": not each.findings and each.not_checked is None, "not_checked": each.not_checked}
            for each in done
        ],
    }


def _print(examined: "Examined") -> None:
    from rich.padding import Padding
    from rich.text import Text

    from hoop_mitm.cli import terminal

    if examined.not_checked:
        terminal.print_all(
            [Text.assemble(("  –  ", "dim"), f"{examined.title}: not checked, {terminal.safe(examined.not_checked)}")]
        )
        return
    if not examined.findings:
        terminal.print_all([Text.assemble(("  ok ", "green"), examined.title)])
        return
    for finding in examined.findings:
        mark = ("  ✗  ", "bold red") if finding.level == "broken" else ("  !  ", "yellow")
        terminal.print_all(
            [
                Text.assemble(mark, (terminal.safe(finding.what), "bold")),
                Padding(Text(terminal.safe(finding.why)), (0, 0, 0, 5), expand=False),
                Padding(Text.assemble(("→ ", "bold"), terminal.safe(finding.remedy)), (0, 0, 0, 5), expand=False),
            ]
        )
