"""Signed heads of commands that write into a recording, on their way to where the gateway's own go."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hoop_mitm.config import Config
    from hoop_mitm.evidence import Checkpoint


def hand_on(config: "Config", checkpoint: "Checkpoint | None") -> None:
    """Have the signature lie elsewhere too, where hoop.yaml says where. What is not taken is sent again by the gateway."""
    if checkpoint is None or not config.recording.heads:
        return
    from hoop_mitm.recording.heads import Heads
    from hoop_mitm.recording.layout import Layout
    from hoop_mitm.recording.sinks import sinks

    def report(_: str, message: str, details: dict[str, object]) -> None:
        click.echo(f"{message} ({details.get('error', '')})", err=True)

    layout = Layout(config.recording.directory.absolute())
    # Where no gateway has recorded yet, it is the next one that sends what is not taken now.
    layout.make()
    heads = Heads(layout, sinks(config.recording.heads, config.gateway.upstream), report)
    heads.start()
    heads.offer(checkpoint)
    heads.stop()
