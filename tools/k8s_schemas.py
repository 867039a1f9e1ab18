#!/usr/bin/env python3
"""k8s_schemas.py OUTDIR SWAGGER_JSON [CRD_YAML...]: one strict JSON schema for each Kubernetes kind.

Kubernetes publishes its types as one OpenAPI document, an operator its own as CustomResourceDefinitions.
kubeconform wants one file a kind, KIND-GROUP-VERSION.json (GROUP is the first label of the API group),
and can't be told to refuse unknown fields where a schema is silent about them. So every object that
lists its properties gets additionalProperties: false here.
"""
import json
import pathlib
import sys

import yaml

# Types that Kubernetes describes as text and reads as text or number.
NUMBER_OR_TEXT = {"type": ["string", "number"]}
LOOSE = {"io.k8s.apimachinery.pkg.api.resource.Quantity",
         "io.k8s.apimachinery.pkg.util.intstr.IntOrString"}
# Of a schema node, only what validates is kept; descriptions make nine tenths of the size.
KEPT = {"type", "required", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
        "minItems", "maxItems", "minProperties", "maxProperties", "$ref"}
LISTS = {"allOf", "anyOf", "oneOf"}


def strict(node):
    """A schema node as JSON schema draft 7, closed against unknown properties."""
    if node.get("x-kubernetes-int-or-string") or node.get("format") == "int-or-string":
        return dict(NUMBER_OR_TEXT)
    out = {key: node[key] for key in KEPT if key in node}
    for key in LISTS & node.keys():
        out[key] = [strict(part) for part in node[key]]
    if "not" in node:
        out["not"] = strict(node["not"])
    if "items" in node:
        out["items"] = strict(node["items"])
    if "properties" in node:
        out["properties"] = {name: strict(part) for name, part in node["properties"].items()}
        out["additionalProperties"] = bool(node.get("x-kubernetes-preserve-unknown-fields", False))
    more = node.get("additionalProperties")
    if more is not None:
        out["additionalProperties"] = strict(more) if isinstance(more, dict) else more
    if node.get("nullable") and "type" in out:
        out["type"] = [out["type"], "null"]
    return out


def referenced(node, definitions, found):
    """Collects in `found` the names of all definitions that `node` leads to."""
    if isinstance(node, list):
        for part in node:
            referenced(part, definitions, found)
    elif isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str):
            name = target.rsplit("/", 1)[1]
            if name not in found:
                found.add(name)
                referenced(definitions[name], definitions, found)
        for key, part in node.items():
            if key != "$ref":
                referenced(part, definitions, found)


def write(outdir, group, version, kind, schema, definitions):
    """Writes the file of one kind, with the definitions that it needs."""
    schema = dict(schema, properties=dict(schema["properties"]))
    schema["properties"]["apiVersion"] = {"enum": [f"{group}/{version}" if group else version]}
    schema["properties"]["kind"] = {"enum": [kind]}
    schema["properties"].setdefault("metadata", {"type": "object"})
    schema["required"] = sorted({"apiVersion", "kind"} | set(schema.get("required", [])))
    found = set()
    referenced(schema, definitions, found)
    schema["definitions"] = {name: definitions[name] for name in sorted(found)}
    name = "-".join(part for part in (kind.lower(), group.split(".")[0], version) if part)
    (outdir / f"{name}.json").write_text(json.dumps(schema, separators=(",", ":")))


def main(outdir, swagger, crds):
    outdir.mkdir(parents=True, exist_ok=True)
    published = json.loads(swagger.read_text())["definitions"]
    definitions = {name: strict(node) for name, node in published.items()}
    definitions.update({name: dict(NUMBER_OR_TEXT) for name in LOOSE})
    count = 0
    for name, node in published.items():
        kinds = node.get("x-kubernetes-group-version-kind", [])
        # Types such as DeleteOptions belong to every group: not an object that somebody applies.
        if len(kinds) == 1 and "kind" in node.get("properties", {}):
            kind = kinds[0]
            write(outdir, kind["group"], kind["version"], kind["kind"], definitions[name], definitions)
            count += 1
    meta = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    for path in crds:
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = meta
            write(outdir, spec["group"], version["name"], spec["names"]["kind"], schema, definitions)
            count += 1
    if count < 100:
        sys.exit(f"only {count} kinds in {swagger}: not the document that was expected")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), [pathlib.Path(p) for p in sys.argv[3:]])
