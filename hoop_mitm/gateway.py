"""Our own entry point: mitmdump's machinery, without what would let the gateway be swapped out under its users.

``mitmdump -s addons/hoop.py`` hot-reloads its script, and goes on as an open proxy when that file breaks or goes.
Here the addons are loaded once, scripts cannot be loaded at all, mitmproxy's ``config.yaml`` is not read, and
nothing is printed of a flow. All logging goes to stderr.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from mitmproxy import exceptions
from mitmproxy.addons import termlog
from mitmproxy.options import Options
from mitmproxy.optmanager import dump_defaults
from mitmproxy.tools import cmdline
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.tools.main import process_options

from hoop_mitm.addons import install
from hoop_mitm.addons.dispatch import Dispatch
from hoop_mitm.addons.loader import Loader
from hoop_mitm.errors import ConfigError

_NO_SCRIPTS = (
    "hoop-mitm proxy loads no scripts: mitmproxy reloads them while it runs, and goes on without them when they break. "
    "To combine the gateway with scripts of your own, load addons/hoop.py into mitmdump."
)
_NOT_STARTED = (
    "hoop-mitm: the gateway did not start, for the reason above. Where it listens is said by gateway.listen in "
    "hoop.yaml, or --listen-host and --listen-port."
)


class LogHandler(termlog.TermLogHandler):
    """A line that cannot be written, because the disk is full or its reader went away, is lost. With mitmproxy's own
    handler the gateway would end by it, and what it had to say is in the recording."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            print(self.format(record), file=self.file, flush=True)


class Log(termlog.TermLog):
    """mitmproxy's log, on standard error."""

    def __init__(self) -> None:
        self.logger = LogHandler(sys.stderr)
        self.logger.install()


class Gateway(DumpMaster):
    """A mitmproxy master with the gateway's addons and no way to load others."""

    def __init__(self, options: Options) -> None:
        super().__init__(options, with_termlog=False, with_dumper=False)
        # The name under which Master takes the handler off again, after the last addon is done.
        self._termlog_addon = Log()
        self.addons.add(self._termlog_addon)
        self.addons.remove(self.addons.get("scriptloader"))


def run(arguments: Sequence[str]) -> int:
    """Run the gateway with mitmdump's command line until SIGINT or SIGTERM; the exit code.

    Raises:
        ConfigError: an option or hoop.yaml is wrong; nothing was started.
    """
    try:
        return asyncio.run(_run(arguments))
    except exceptions.OptionsError as error:
        raise ConfigError(str(error)) from error


async def _run(arguments: Sequence[str]) -> int:
    _quieten()
    options = Options()
    gateway = Gateway(options)
    chosen = _parser(options).parse_args(arguments)
    options.set(*chosen.setoptions, defer=True)
    process_options(None, options, chosen)
    if options.scripts:
        raise ConfigError(_NO_SCRIPTS)
    gateway.addons.add(Loader())
    _refuse_unknown(options)
    if chosen.options:
        dump_defaults(options, sys.stdout)
        return 0
    if chosen.commands:
        gateway.commands.dump()
        return 0
    install(Path(options.hoop_config).expanduser())  # noqa: ASYNC240 - nothing else runs yet
    # Here nothing can load a script, so what hooks there are stays what it is.
    Dispatch(gateway.addons).engage()
    return await _serve(gateway)


async def _serve(gateway: Gateway) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, gateway.shutdown)
    # A reader of our log that goes away must not end us.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        await gateway.run()
    except SystemExit:
        # mitmproxy's way to end when an error was logged during start-up, such as a port that is taken. Its advice
        # is for mitmproxy; ours is printed, because nothing is logged any more.
        print(_NOT_STARTED, file=sys.stderr)  # noqa: T201
        return 3
    return 0


def _parser(options: Options) -> ArgumentParser:
    parser: ArgumentParser = cmdline.mitmdump(options)
    parser.prog = "hoop-mitm proxy"
    return parser


def _refuse_unknown(options: Options) -> None:
    """mitmproxy ignores an option that nobody declared; a misspelt one must not look as if it were in force."""
    if options.deferred:
        names = ", ".join(sorted(options.deferred))
        raise ConfigError(f"There is no option {names}. hoop-mitm proxy --options lists those that there are.")


def _quieten() -> None:
    """mitmproxy's own choice of which libraries may speak (mitmproxy.tools.main)."""
    logging.getLogger().setLevel(logging.DEBUG)
    for name in ("tornado", "asyncio", "hpack", "quic"):
        logging.getLogger(name).setLevel(logging.WARNING)
