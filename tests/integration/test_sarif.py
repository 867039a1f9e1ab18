"""lint's SARIF against the parts of the SARIF 2.1.0 schema that upload services insist on."""
import json

import jsonschema
import pytest
from conftest import DEFINITION

TEXT = {"type": "object", "required": ["text"], "additionalProperties": False,
        "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
COUNT = {"type": "integer", "minimum": 1}
REGION = {"type": "object", "required": ["startLine"], "additionalProperties": False,
          "properties": {k: COUNT for k in ("startLine", "startColumn", "endLine", "endColumn")}}
LOCATION = {
    "type": "object", "required": ["physicalLocation"], "additionalProperties": False,
    "properties": {"physicalLocation": {
        "type": "object", "required": ["artifactLocation"], "additionalProperties": False,
        "properties": {
            "artifactLocation": {
                "type": "object", "required": ["uri"],
                "properties": {"uri": {"type": "string",
                                       "pattern": "^[A-Za-z0-9._~!$&'()*+,;=:@/%-]+$"}}},
            "region": REGION}}}}
RULE = {"type": "object", "required": ["id"],
        "properties": {"id": {"type": "string", "pattern": "^HFG[0-9]{3}$"}, "help": TEXT,
                       "shortDescription": TEXT, "defaultConfiguration": {
                           "type": "object", "properties": {"level": LEVEL}}}}
RESULT = {"type": "object", "required": ["message", "ruleId", "level"],
          "properties": {"message": TEXT, "level": LEVEL, "ruleId": {"type": "string"},
                         "ruleIndex": {"type": "integer", "minimum": 0},
                         "locations": {"type": "array", "items": LOCATION}}}
SCHEMA = {
    "type": "object", "required": ["version", "runs"], "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "pattern": "^https://.*sarif.*2\\.1\\.0.*\\.json$"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": {
            "type": "object", "required": ["tool", "results"], "additionalProperties": False,
            "properties": {
                "tool": {"type": "object", "required": ["driver"], "properties": {"driver": {
                    "type": "object", "required": ["name"],
                    "properties": {"name": {"const": "hfcache-gen"},
                                   "rules": {"type": "array", "items": RULE}}}}},
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "results": {"type": "array", "items": RESULT}}}}}}


def sarif(tree):
    log = json.loads(tree.gen("lint", "--format", "sarif").out)
    jsonschema.Draft202012Validator(SCHEMA).validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({r["id"] for r in rules}) == len(rules)
    assert {r["id"] for r in rules} == {r["ruleId"] for r in run["results"]}
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert rules[result["ruleIndex"]]["defaultConfiguration"]["level"] == result["level"]
    return run["results"]


def test_no_findings(tree):
    assert sarif(tree) == []


def test_errors_and_warnings(tree):
    tree.definition(DEFINITION.replace("vcpu: 6", "vcpu: null").replace("r.one", "R"))
    tree.definition(DEFINITION.replace("r.one", "two").replace("3Gi", "3GiB"), "a.yaml")
    results = sarif(tree)
    assert sorted(r["level"] for r in results) == ["error", "error", "warning"]


@pytest.mark.parametrize("name", ["a b.yaml", "ä.yaml", "50%.yaml", "#1.yaml", "a?b.yaml"])
def test_paths_are_uris(tree, name):
    tree.definition(DEFINITION.replace("r.one", "two").replace("3Gi", "3GiB"), name)
    (result,) = sarif(tree)
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 5


def test_findings_without_a_place(tree):
    """A template that cannot be read has a path and no line, a missing folder not even that."""
    (tree.root / "modules/arc-runners/templates/runner.yaml.tpl").unlink()
    tree.edit("clusters.yaml", "      - nodepools\n", "      - hf-cache\n      - nodepools\n")
    (tree.root / "modules/hf-cache/templates").mkdir(parents=True)
    results = sarif(tree)
    assert {"HFG040"} <= {r["ruleId"] for r in results}
    for result in results:
        for location in result.get("locations", []):
            assert location["physicalLocation"]["artifactLocation"]["uri"] != ""


def test_columns_count_characters(tree):
    """Neither bytes nor UTF-16 units: `columnKind` says so."""
    line = "runner: {😀: ä, name: r, instance_type: q7a.2xlarge, vcpu: 1, memory: 3GiB}"
    tree.definition(line + "\n")
    (result,) = sarif(tree)
    assert result["locations"][0]["physicalLocation"]["region"]["startColumn"] == \
        line.index("3GiB") + 1
