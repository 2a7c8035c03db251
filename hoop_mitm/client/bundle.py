"""What a client must trust: the roots that it trusts already, plus the gateway's certificate authority."""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

#: Variables that name a PEM file of roots. All but Node's replace the built-in ones, so whoever set one of them
#: (a company with a TLS proxy of its own, say) meant it: its roots are kept.
BUNDLE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "HTTPLIB2_CA_CERTS",
)

_MARK = "# The certificate authority of a hoop-mitm gateway follows."
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def combined_bundle(path: Path, ca_cert: Path, existing: Mapping[str, str] = os.environ) -> Path:
    """Write a PEM bundle to ``path``: the roots this machine and ``existing`` trust, then the gateway's CA.

    Clients that are pointed at a bundle forget their own roots, so it must hold them all. A gateway's CA that an
    earlier bundle carried is left out. The file is replaced in one step, and not touched when nothing changed.
    """
    roots: dict[str, None] = {}
    for source in _sources(existing):
        roots.update(dict.fromkeys(_certificates(source)))
    text = "\n".join([*roots, _MARK, *_certificates(ca_cert)]) + "\n"
    if not path.is_file() or path.read_text() != text:
        _replace(path, text)
    return path


def _sources(existing: Mapping[str, str]) -> Iterator[Path]:
    default = ssl.get_default_verify_paths()
    named = [existing[name] for name in BUNDLE_VARIABLES if existing.get(name)]
    system = [file for file in (default.cafile, default.openssl_cafile) if file and Path(file).is_file()]
    if not system:
        # python.org's builds for macOS come without roots; certifi's are what requests would use.
        import certifi

        system = [certifi.where()]
    yield from (Path(file) for file in dict.fromkeys([*system, *named]))


def _certificates(source: Path) -> list[str]:
    try:
        text = source.read_text(errors="replace")
    except OSError:
        # A variable that names a missing file: the client would have failed on it, the gateway need not.
        return []
    return _PEM.findall(text.partition(_MARK)[0])


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    Path(file.name).replace(path)
