"""Google's lists are kept as they are, and read anew by a program."""

import json

from hoop_mitm.bigquery.methods import DISCOVERY, STORAGE
from hoop_mitm.bigquery.refresh import FILE, discovery, methods, storage

DOCUMENT = {
    "schemas": {
        "Job": {
            "properties": {
                "labels": {"additionalProperties": {"type": "string"}},
                "kinds": {"type": "array", "items": {"$ref": "Kind"}},
                "parent": {"$ref": "Job"},
            }
        },
        "Kind": {"properties": {"inner": {"properties": {"user_email": {"type": "string"}}}, "free": {"type": "any"}}},
        "Answer": {"properties": {"rows": {"type": "string"}}},
    },
    "revision": "20300101",
    "basePath": "/bigquery/v2/",
    "batchPath": "batch/bigquery/v2",
    "endpoints": [
        {"endpointUrl": "https://bigquery.us-west8.rep.googleapis.com/"},
        {"endpointUrl": "https://bigquery.us-west8.rep.googleapis.com.evil.example/"},
    ],
    "resources": {
        "jobs": {
            "methods": {
                "insert": {
                    "id": "bigquery.jobs.insert",
                    "httpMethod": "POST",
                    "path": "projects/{+projectId}/jobs",
                    "flatPath": "projects/{projectsId}/jobs",
                    "request": {"$ref": "Job"},
                    "mediaUpload": {
                        "protocols": {"simple": {"path": "/upload/bigquery/v2/projects/{+projectId}/jobs"}}
                    },
                }
            },
            "resources": {
                "below": {
                    "methods": {
                        "get": {
                            "id": "bigquery.jobs.below.get",
                            "httpMethod": "GET",
                            "path": "{+resource}:get",
                            "flatPath": "projects/{projectsId}/queries/{queriesId}:get",
                        }
                    }
                }
            },
        }
    },
}


def test_what_is_kept_of_a_discovery_document():
    assert methods(DOCUMENT) == {
        "revision": "20300101",
        "base": "/bigquery/v2/",
        "batch": "/batch/bigquery/v2",
        "locations": ["us-west8"],
        "methods": {
            "jobs.below.get": ["GET", "projects/{project}/queries/{job}:get"],
            "jobs.insert": ["POST", "projects/{project}/jobs"],
        },
        "uploads": {"jobs.insert": ["/upload/bigquery/v2/projects/{project}/jobs"]},
        "keys": ["free", "inner", "kinds", "labels", "parent", "user_email"],
        "maps": ["free", "labels"],
    }


def test_the_list_of_rest_is_that_of_googles_newest_client_library_here():
    """It has changed? ``python -m hoop_mitm.bigquery.refresh``, and ``test_doors`` names what is new."""
    assert json.loads(FILE.read_text())["discovery"] == discovery()


def test_the_list_of_the_storage_api_is_the_client_librarys():
    assert json.loads(FILE.read_text())["storage"] == storage()
    assert STORAGE.keys() == storage().keys()


def test_the_list_of_rest_is_whole():
    assert DISCOVERY.revision >= "20250528"
    assert {
        "projects.list",
        "jobs.query",
        "tabledata.list",
        "rowAccessPolicies.batchDelete",
    } <= DISCOVERY.methods.keys()
    assert DISCOVERY.base == "/bigquery/v2/"
