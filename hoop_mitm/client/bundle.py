"""What a client must trust: the roots that it trusts already, plus the gateway's certificate authority."""

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

#: Variables that name a PEM file of roots (or, for some programs, a directory of such files). All but Node's replace
#: the built-in ones, so whoever set one of them (a company with a TLS proxy of its own, say) meant it: its roots are
#: kept.
BUNDLE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "HTTPLIB2_CA_CERTS",
)
_DIRECTORIES = "SSL_CERT_DIR"

# Where systems keep their store as one file; the first that there is. Python's own default is often one that is not.
_SYSTEM_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older ones
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)
# What the machine's administrator added on a Mac is in no file.
_MAC_ADMINISTRATOR = ("/usr/bin/security", "find-certificate", "-a", "-p", "/Library/Keychains/System.keychain")

_MARK = "# The certificate authority of a hoop-mitm gateway follows."
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def combined_bundle(path: Path, ca_cert: Path | None, existing: Mapping[str, str] = os.environ) -> Path:
    """Write a PEM bundle to ``path``: the roots this machine and ``existing`` trust, then the gateway's CA, if any.

    Clients that are pointed at a bundle forget their own roots, so it must hold them all. A gateway's CA that an
    earlier bundle carried is left out. The file is replaced in one step, and not touched when nothing changed.
    """
    ours = [_MARK, *_certificates(ca_cert)] if ca_cert else []
    text = "\n".join([*roots(existing), *ours]) + "\n"
    if not path.is_file() or path.read_text() != text:
        _replace(path, text)
    return path


def roots(existing: Mapping[str, str]) -> tuple[str, ...]:
    """The roots (PEM) that this machine and ``existing`` trust, without those of gateways, each once."""
    found: dict[str, None] = {}
    for source in _sources(existing):
        found.update(dict.fromkeys(_certificates(source)))
    if sys.platform == "darwin":
        said = subprocess.run(_MAC_ADMINISTRATOR, capture_output=True, text=True, check=False)  # noqa: S603 - as above
        found.update(dict.fromkeys(_PEM.findall(said.stdout)))
    return tuple(found)


def certificates_in(bundle: Path) -> frozenset[str]:
    """Every certificate (PEM) in a file, gateways' as well; none when it cannot be read."""
    try:
        return frozenset(_PEM.findall(bundle.read_text(errors="replace")))
    except OSError:
        return frozenset()


def _sources(existing: Mapping[str, str]) -> Iterator[Path]:
    default = ssl.get_default_verify_paths()
    candidates = [default.openssl_cafile, *_SYSTEM_STORES]
    system = [file for file in candidates if Path(file).is_file()][:1]
    if not system:
        # python.org's builds for macOS come without roots; certifi's are what requests would use.
        import certifi

        system = [certifi.where()]
    named = [existing[name] for name in BUNDLE_VARIABLES if existing.get(name)]
    named += [each for each in existing.get(_DIRECTORIES, "").split(os.pathsep) if each]
    for place in map(Path, dict.fromkeys([*system, *named])):
        yield from sorted(place.iterdir()) if place.is_dir() else [place]


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
