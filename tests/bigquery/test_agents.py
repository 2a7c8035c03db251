"""Which program asks."""

import pytest

from hoop_mitm.bigquery.agents import agent_name


@pytest.mark.parametrize(
    ("user_agent", "api_client", "expected"),
    [
        ("gl-python/3.13.0 grpc/1.85.1 gax/2.44.0 gapic/3.41.0 gccl/3.41.0", "gl-python/3.13.0 gccl/3.41.0", "python"),
        ("grpc-python/1.85.1 grpc-c/58.0.0 (linux; chttp2)", "gl-python/3.13.0 grpc/1.85.1 gapic/2.43.0", "python"),
        ("gl-python/3.13.0 grpc/1.85.1 gccl/3.41.0", None, "python"),
        ("python-requests/2.34.2", None, "python"),
        ("google-cloud-sdk528.0.0 google-api-python-client (gzip)", "gdcl/2.2.0 gl-python/3.12.10 cred-type/u", "bq"),
        ("Python-httplib2/0.18.1 (gzip)", "cred-type/u", "bq"),
        ("google-cloud-sdk gcloud/528.0.0 command/gcloud.alpha.bq", None, "gcloud"),
        ("gcloud-node-bigquery/8.3.1", "gl-node/20.20.2 gccl/8.3.1", "node"),
        ("genai-toolbox/1.12.0+binary.linux.amd64", "gl-go/1.27.1 gccl/1.77.0", "toolbox"),
        ("google-api-go-client/0.5", "gl-go/1.27.1 gdcl/0.285.0", "go"),
        ("gcloud-java-bigquery/2.40.0 Google-API-Java-Client/2.2.0", "gl-java/17 gccl/2.40", "java"),
        ("grpc-java-netty/1.60.0", "gl-java/17 gapic/3.0", "java"),
        ("dbt-bigquery-1.8.0 gl-python/3.12", "gl-python/3.12", "dbt"),
        ("curl/8.5.0", None, "curl"),
        ("MyTool/1.0 (x)", None, "mytool"),
        ("<script>", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_a_program_is_named_by_its_headers(user_agent, api_client, expected):
    headers = {"User-Agent": user_agent, "x-goog-api-client": api_client}
    assert agent_name([(name, value) for name, value in headers.items() if value]) == expected
