"""What a gateway makes at its first start, made before it: so that clients can be pointed at it, and nothing is left to
happen then."""

from pathlib import Path

from hoop_mitm.certs import ensure_ca, vouched_for
from hoop_mitm.config import Config
from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.identity import SigningKeys


def make_keys(config: Config) -> tuple[Path, ...]:
    """The authority, and the keys that sign session tokens and the recording; their places. What is there stays.

    Raises:
        ConfigError: a directory cannot be used, or holds what is not ours.
    """
    gateway = config.gateway
    ca = ensure_ca(gateway.certs, vouched_for(gateway), gateway.ca_lifetime)
    SigningKeys.load_or_create(gateway.state)
    RecordingKeys.load_or_create(gateway.state)
    return ca.cert, gateway.state
