"""The OpenAPI document is a promise: integrators generate clients from it."""

import json
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import openapi

ROOT = Path(__file__).parent.parent
DOCUMENT = openapi.document()
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
NAMES = [f"{method.upper()} {path}" for path, method, _ in OPERATIONS]


def test_the_committed_document_is_the_code():
    committed = (ROOT / openapi.FILE).read_text(encoding="utf-8")
    assert committed == openapi.text(), "run: budstikke openapi"


def test_the_document_is_valid_openapi_3_1():
    assert DOCUMENT["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_operation_ids_are_unique_snake_case_names():
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    assert all(name.isidentifier() and name.islower() for name in ids)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=NAMES)
def test_every_route_tells_what_it_does_and_what_can_go_wrong(path, method, operation):
    assert operation["summary"]
    assert len(operation["description"]) > 15
    for status in ("401", "403", "422", "429", "500", "503"):
        assert "application/problem+json" in operation["responses"][status]["content"]
    made_by_put = method == "put" and path.endswith("}")  # a name that the caller gives
    if "{" in path.removeprefix("/v1/mailings/{mailing_id}") and not made_by_put:
        assert "404" in operation["responses"]


def _schemas_with_examples():
    return {name: schema for name, schema in DOCUMENT["components"]["schemas"].items() if schema.get("examples")}


@pytest.mark.parametrize("name", sorted(_schemas_with_examples()))
def test_examples_fit_their_schemas(name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    required = DOCUMENT["components"]["schemas"][name].get("required", [])
    for example in DOCUMENT["components"]["schemas"][name]["examples"]:
        # FastAPI leaves nulls out of the document, in examples too.
        validator.validate(dict.fromkeys(required) | example)


def _body_schemas():
    for path, method, operation in OPERATIONS:
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            yield pytest.param(content["schema"], id=f"{method.upper()} {path}")


@pytest.mark.parametrize("schema", list(_body_schemas()))
def test_every_body_has_an_example(schema):
    alternatives = schema.get("oneOf", [schema])
    for alternative in alternatives:
        resolved = alternative
        if "$ref" in alternative:
            resolved = DOCUMENT["components"]["schemas"][alternative["$ref"].rsplit("/", 1)[1]]
        assert resolved.get("examples"), json.dumps(alternative)
