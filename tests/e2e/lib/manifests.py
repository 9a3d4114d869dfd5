#!/usr/bin/env python3
"""Compares the examples in packaging/container with published schemas: manifests.py COMPOSE_SCHEMA DIRECTORY

Needs the packages kubernetes-validate and jsonschema. PodSecurity's level `restricted` is no schema, so its rules are written here
(https://kubernetes.io/docs/concepts/security/pod-security-standards/).
"""
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.33"


def main(compose_schema, directory):
    directory = pathlib.Path(directory)
    compose = yaml.safe_load((directory / "compose.yaml").read_text())
    jsonschema.validate(compose, json.loads(pathlib.Path(compose_schema).read_text()))
    kinds = []
    for document in yaml.safe_load_all((directory / "kubernetes.yaml").read_text()):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        kinds.append(document["kind"])
        pod = document["spec"].get("template", {}).get("spec")
        if pod:
            restricted(document["metadata"]["name"], pod)
    if sorted(kinds) != ["Deployment", "Job", "NetworkPolicy", "PersistentVolumeClaim", "PersistentVolumeClaim", "Service"]:
        sys.exit(f"kubernetes.yaml has {kinds}")


def restricted(name, pod):
    security = pod["securityContext"]
    rules = {
        "runAsNonRoot": security["runAsNonRoot"] is True and security["runAsUser"] != 0,
        "seccompProfile": security["seccompProfile"]["type"] == "RuntimeDefault",
        "volumes": all({"secret", "persistentVolumeClaim"} & volume.keys() for volume in pod["volumes"]),
        "the host": not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(),
    }
    for container in pod["containers"]:
        own = container["securityContext"]
        rules["allowPrivilegeEscalation"] = own["allowPrivilegeEscalation"] is False
        rules["capabilities"] = own["capabilities"] == {"drop": ["ALL"]}
        rules["hostPort"] = not any("hostPort" in port for port in container.get("ports", []))
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        sys.exit(f"kubernetes.yaml: {name} breaks PodSecurity's {broken}")


if __name__ == "__main__":
    main(*sys.argv[1:])
