"""``python -m hoop_mitm.cli`` is ``hoop-mitm``, also where the console script is not on PATH."""

from hoop_mitm.cli import main

main(prog_name="hoop-mitm")
