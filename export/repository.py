"""Export of a model into Triton's repository as one version, atomically."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from torch import Tensor, nn

from export.graphs.onnx_model import write_onnx
from export.graphs.parity import ParityRow, measure
from export.triton.version import MODEL_FILE, new_version
from winnow.files import link
from winnow.signatures import ModelSignature


def export_model(
    module: nn.Module,
    signature: ModelSignature,
    version: int,
    repository: Path,
    samples: Mapping[str, Tensor],
    bound: float,
    shared: Mapping[str, Path] = MappingProxyType({}),
    original: nn.Module | None = None,
) -> ParityRow:
    """Export a module to ``{repository}/{model}/{version}/model.onnx``, beside the model's configurations.

    Triton may poll the repository, so the model's folder gets its name only once the model in it passes the check.

    Args:
        module: on the CPU; its ``forward`` takes the signature's inputs in order and gives its outputs.
        signature: the model's name and tensors.
        version: the release.
        repository: Triton's model repository of that release.
        samples: input name -> real inputs, [any, ...], for the parity check.
        bound: largest accepted absolute difference from PyTorch.
        shared: name of a buffer -> the ``.npy`` file with its content, to which the version's folder gets a link;
            names of other models' buffers are left out.
        original: the module with which the exported model is compared, where ``module`` is another form of it.

    Returns:
        The parity figures.

    Raises:
        ParityError: the exported model differs from the original.
        WinnowError: the version exists already, or the graph's tensors are not the signature's.
    """
    module.eval()
    with new_version(signature, version, repository) as partial:
        held = {name for name, _ in module.named_buffers()}
        links = {name: link(file, partial / file.name) for name, file in shared.items() if name in held}
        write_onnx(module, signature, samples, partial / MODEL_FILE, links)
        return measure(original or module, partial / MODEL_FILE, signature, samples, bound)
