"""Access control."""

from cluster_validation.checks import access, links
from tests.support.cluster.manifests import Check, Mutation, arg, put, remove

ISVC = "InferenceService"
SOURCES = "spec/transformer/volumes/2/projected/sources"
KEY = f"keys: [{{name: a, scopes: [admin], hash: 'sha256:{64 * '0'}'}}]"

FAULTS: dict[str, tuple[Check, Mutation, str]] = {
    "a transformer without access control": (
        access.check,
        arg("kserve-container", "--access-file=/etc/winnow/access", "--drain-seconds=5"),
        "container kserve-container: --access-file is missing: every caller could write items and erase users",
    ),
    "access rules that may be absent": (
        access.check,
        put(ISVC, "recommender", f"{SOURCES}/0/configMap/optional", True),
        "/etc/winnow/access must have a ConfigMap that is not optional",
    ),
    "keys that a new cluster must have": (
        access.check,
        put(ISVC, "recommender", f"{SOURCES}/1/secret/optional", False),
        "the Secret with keys must be optional",
    ),
    "an open catalog": (
        access.check,
        put("ConfigMap", "access", "data/policy.yaml", "open: [recommend, catalog]"),
        r"ConfigMap access: data: policy\.yaml: open\[1\]: must be 'recommend' or 'events'",
    ),
    "keys that everyone can read": (
        access.check,
        put("ConfigMap", "access", "data/keys.yaml", KEY),
        "ConfigMap access: data: has keys",
    ),
    "access rules that no one wrote": (
        links.check,
        remove("ConfigMap", "access"),
        "volume access: there is no ConfigMap access",
    ),
}
"""Check, change and regular expression of the finding, by description."""
