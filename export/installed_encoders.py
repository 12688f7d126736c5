"""Exported encoders in Triton's repository.

The module does not import the encoders, whose libraries take a process several seconds of CPU time to load.
"""

import shutil
from pathlib import Path

from pydantic import TypeAdapter

from export.cosine import EncoderRow
from export.graphs.variants import Precision, variant_file
from export.triton.version import MODEL_FILE, new_version
from winnow.errors import WinnowError
from winnow.release import sha256
from winnow.signatures import SIGNATURES

PARITY_FILE = "parity.json"

_ROWS = TypeAdapter(list[EncoderRow])


def install_encoders(
    encoders_folder: Path, version: int, repository: Path, precision: Precision = "fp32"
) -> list[EncoderRow]:
    """Install every exported encoder into Triton's repository as one version, ``{model}/{version}/model.onnx``.

    Args:
        encoders_folder: where :func:`export.encoders.export_encoders` wrote them.
        version: the release.
        repository: Triton's model repository of that release.
        precision: which variant is served.

    Returns:
        The figures of the installed variants, a row per model.

    Raises:
        WinnowError: a version exists already, the variant is too coarse, or a file has changed since its parity check.
    """
    installed = []
    for signature in SIGNATURES:
        folder = encoders_folder / "onnx" / signature.name
        if not folder.exists():
            continue
        rows = _ROWS.validate_json((folder / PARITY_FILE).read_bytes())
        row = next(row for row in rows if row.precision == precision)
        source = folder / variant_file(precision)
        if not row.holds:
            raise WinnowError(f"{row}: serve another precision, or train the encoder longer")
        if sha256(source) != row.sha256:
            raise WinnowError(f"{source} is not the file whose parity was proved: export the encoders again")
        with new_version(signature, version, repository) as partial:
            shutil.copyfile(source, partial / MODEL_FILE)
        installed.append(row)
    return installed
