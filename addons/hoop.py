"""The whole gateway, in an ordinary mitmproxy.

    mitmdump -s addons/hoop.py --set hoop_config=hoop.yaml

`hoop_config` defaults to $HOOP_CONFIG, then to ./hoop.yaml. Saving or deleting this file while mitmproxy runs changes
nothing: the gateway stays in place until mitmproxy ends.
"""

from hoop_mitm.addons.loader import Loader

addons = [Loader()]
