"""How a script brings the gateway into mitmproxy."""

import os
import sys
from collections.abc import Set as AbstractSet
from pathlib import Path

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader as MitmproxyLoader

from hoop_mitm.addons import install
from hoop_mitm.errors import ConfigError

OPTION = "hoop_config"


class Loader:
    """Declares the option that names hoop.yaml, and installs the gateway once it is known.

    Where that fails, mitmdump ends at once. Left to itself it would end too, but a moment later, and serve until then.
    """

    name = "hoop-loader"

    def load(self, loader: MitmproxyLoader) -> None:
        default = os.environ.get("HOOP_CONFIG", "hoop.yaml")
        loader.add_option(OPTION, str, default, "The gateway's configuration (docs/configuration.md).")

    def configure(self, updated: AbstractSet[str]) -> None:
        if OPTION not in updated:
            return
        try:
            install(Path(ctx.options.hoop_config).expanduser())
        except (ConfigError, exceptions.OptionsError) as error:
            if "scriptloader" not in ctx.master.addons.lookup:
                raise exceptions.OptionsError(str(error)) from None
            print(f"hoop-mitm does not start: {error}", file=sys.stderr)  # noqa: T201 - no log is written any more
            raise SystemExit(1) from None
