"""How a script brings the gateway into mitmproxy."""

import os
from collections.abc import Set as AbstractSet
from pathlib import Path

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader as MitmproxyLoader

from hoop_mitm.addons import install
from hoop_mitm.errors import ConfigError

OPTION = "hoop_config"


class Loader:
    """Declares the option that names hoop.yaml, and installs the gateway once it is known.

    mitmproxy ends at start when a script's `configure` fails, so a wrong hoop.yaml starts nothing.
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
        except ConfigError as error:
            raise exceptions.OptionsError(str(error)) from None
