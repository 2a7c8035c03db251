import ssl
from pathlib import Path

import pytest

from hoop_mitm.certs import ensure_ca
from hoop_mitm.client import combined_bundle
from hoop_mitm.client.bundle import BUNDLE_VARIABLES


@pytest.fixture
def ca_cert(tmp_path: Path) -> Path:
    return ensure_ca(tmp_path / "ca", ["bigquery.googleapis.com"]).cert


@pytest.fixture
def company_root(tmp_path: Path) -> Path:
    return ensure_ca(tmp_path / "company", ["intranet.example.com"]).cert


def count(bundle: Path) -> int:
    return bundle.read_text().count("BEGIN CERTIFICATE")


def test_it_holds_the_machines_roots_and_ours_and_openssl_can_load_it(tmp_path, ca_cert):
    bundle = combined_bundle(tmp_path / "bundle.pem", ca_cert, {})
    context = ssl.create_default_context(cafile=str(bundle))
    assert count(bundle) > 50
    assert ca_cert.read_text() in bundle.read_text()
    assert context.cert_store_stats()["x509_ca"] > 50


@pytest.mark.parametrize("variable", BUNDLE_VARIABLES)
def test_a_root_that_a_variable_names_is_kept(tmp_path, ca_cert, company_root, variable):
    bundle = combined_bundle(tmp_path / "bundle.pem", ca_cert, {variable: str(company_root)})
    assert company_root.read_text() in bundle.read_text()


def test_a_gateway_inside_a_gateway_does_not_hand_on_the_other_ones_authority(tmp_path, ca_cert, company_root):
    outer = combined_bundle(tmp_path / "outer.pem", ca_cert, {})
    inner = combined_bundle(tmp_path / "inner.pem", company_root, {"SSL_CERT_FILE": str(outer)})
    assert count(inner) == count(outer)
    assert ca_cert.read_text() not in inner.read_text()


def test_a_root_named_twice_stands_once(tmp_path, ca_cert, company_root):
    once = combined_bundle(tmp_path / "once.pem", ca_cert, {"SSL_CERT_FILE": str(company_root)})
    twice = combined_bundle(tmp_path / "twice.pem", ca_cert, dict.fromkeys(BUNDLE_VARIABLES, str(company_root)))
    assert once.read_text() == twice.read_text()


def test_a_variable_that_names_no_file_is_passed_over(tmp_path, ca_cert):
    bundle = combined_bundle(tmp_path / "bundle.pem", ca_cert, {"REQUESTS_CA_BUNDLE": "/nowhere.pem"})
    assert count(bundle) > 50


def test_others_may_read_it(tmp_path, ca_cert):
    assert combined_bundle(tmp_path / "bundle.pem", ca_cert, {}).stat().st_mode & 0o777 == 0o644
