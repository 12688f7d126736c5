"""``python -m cluster_validation.schemas FOLDER [FILE ...]``: vendor the definitions of custom kinds from a folder."""

import sys
from pathlib import Path

from cluster_validation.schemas.crds import CRDS, vendored

USAGE = "usage: python -m cluster_validation.schemas FOLDER [FILE ...]\n"


def main(arguments: list[str]) -> int:
    """Write the vendored definitions again from their originals.

    Args:
        arguments: a folder that holds one CustomResourceDefinition per file, and the names of the files to vendor; by
            default every file that is vendored already and is in the folder.

    Returns:
        0, or 2 where the arguments are wrong or a file is missing.
    """
    if not arguments:
        sys.stderr.write(USAGE)
        return 2
    folder, names = Path(arguments[0]), arguments[1:]
    current = sorted(path.name for path in CRDS.glob("*.yaml"))
    wanted = names or [name for name in current if (folder / name).is_file()]
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing or not wanted:
        sys.stderr.write(f"{folder} has no {', '.join(missing or current)}\n")
        return 2
    for name in wanted:
        (CRDS / name).write_text(vendored(folder / name))
    sys.stdout.write(f"vendored from {folder}: {', '.join(wanted)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
