"""Python with requests, as google-cloud-bigquery uses it: which proxy and which roots it takes, and a greeting with them.

Prints one word: absent, direct, trusted, untrusted, failed. No request is sent.
"""

import http.client
import ssl
from urllib.parse import urlsplit

HOST = "bigquery.googleapis.com"


def look() -> str:
    try:
        import requests
    except ImportError:
        return "absent"
    url = f"https://{HOST}/"
    settings = requests.Session().merge_environment_settings(url, {}, stream=False, verify=None, cert=None)
    proxy = requests.utils.select_proxy(url, settings["proxies"])
    if not proxy:
        return "direct"
    roots = settings["verify"] if isinstance(settings["verify"], str) else requests.utils.DEFAULT_CA_BUNDLE_PATH
    place = urlsplit(proxy if "//" in proxy else "http://" + proxy)
    context = ssl.create_default_context(cafile=roots)
    connection = http.client.HTTPSConnection(place.hostname or "", place.port, timeout=30, context=context)
    connection.set_tunnel(HOST, 443)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError:
        return "untrusted"
    finally:
        connection.close()
    return "trusted"


try:
    print(look())
except Exception as error:
    print("failed", type(error).__name__)
