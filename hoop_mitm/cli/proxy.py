"""``hoop-mitm proxy``."""

from pathlib import Path

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  hoop-mitm proxy
  hoop-mitm proxy --config /etc/hoop-mitm/hoop.yaml
  hoop-mitm proxy --listen-port 8443 --set termlog_verbosity=warn
""",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration; default $HOOP_CONFIG, or hoop.yaml in this directory.",
)
@click.argument("mitmdump_options", nargs=-1, type=click.UNPROCESSED, metavar="[MITMDUMP OPTIONS]...")
def proxy(config: Path | None, mitmdump_options: tuple[str, ...]) -> None:
    """Run the gateway that hoop.yaml describes.

    It takes mitmdump's options, as far as they undo none of its promises; `hoop-mitm proxy --options` lists them.
    Scripts (-s) are refused, and mitmproxy's config.yaml is not read: there is one configuration. It ends with
    Ctrl-C or SIGTERM, when what it has recorded is safe.
    """
    from hoop_mitm.gateway import run

    chosen = ("--set", f"hoop_config={config}") if config else ()
    click.get_current_context().exit(run([*chosen, *mitmdump_options]))
