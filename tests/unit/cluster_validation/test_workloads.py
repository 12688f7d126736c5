"""The ports that a container's process opens."""

from cluster_validation.manifests.workloads import opened


def test_ports_are_read_from_the_command_line():
    assert opened({"command": ["python", "-m", "bloom_sidecar"], "args": []}) == {8090}
    assert opened({"args": ["tritonserver", "--grpc-port=9000", "--allow-http=false"]}) == {9000, 8002}
