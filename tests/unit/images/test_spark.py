"""The entry point of the Spark image."""

import os
import subprocess

from cluster_validation.manifests.objects import ROOT


def test_the_entry_point_starts_a_driver_an_executor_or_another_command(tmp_path):
    for tool in (tmp_path / "java", tmp_path / "bin" / "spark-submit"):
        tool.parent.mkdir(exist_ok=True)
        tool.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
        tool.chmod(0o755)
    settings = {"MEMORY": "1g", "ID": "1", "CORES": "4", "POD_IP": "10.0.0.2", "POD_NAME": "executor-1"}
    environment = {f"SPARK_EXECUTOR_{name}": value for name, value in settings.items()} | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SPARK_HOME": str(tmp_path),
        "SPARK_DRIVER_BIND_ADDRESS": "10.0.0.1",
        "SPARK_DRIVER_URL": "spark://driver",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        **{f"SPARK_JAVA_OPT_{number}": f"-Dnumber={number} x" for number in range(11)},
    }

    def started(*arguments: str) -> list[str]:
        entrypoint = [str(ROOT / "images" / "spark" / "entrypoint"), *arguments]
        return subprocess.run(entrypoint, env=environment, capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )

    driver = started("driver", "--class", "a.Class", "local:///main.py")
    assert driver[:4] == ["--deploy-mode", "client", "--conf", "spark.driver.bindAddress=10.0.0.1"]
    assert driver[-4:-1] == ["--class", "a.Class", "local:///main.py"]
    executor = started("executor")
    assert executor[:11] == [f"-Dnumber={number} x" for number in range(11)]
    assert executor[11:15] == ["-Xms1g", "-Xmx1g", "-cp", f"{tmp_path}/conf:{tmp_path}/jars/*"]
    assert executor[executor.index("--driver-url") + 1] == "spark://driver"
    assert executor[executor.index("--podName") + 1] == "executor-1"
    assert started("echo", "unchanged")[0] == "unchanged"
