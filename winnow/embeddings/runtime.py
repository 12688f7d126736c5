"""Runtimes of encoders without torch: ONNX Runtime in this process, or a remote Triton.

Both split a call into batches of bounded size, with a time-out of :data:`TIMEOUT_S` for each.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import onnxruntime
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from winnow.errors import WinnowError
from winnow.proxies import inference_client

MAX_BATCH = 64
"""Maximum of inputs per run, which limits the memory of a large encoder's activations."""

TIMEOUT_S = 300.0
"""Time-out of one batch; a large encoder on few cores takes a minute."""

_CONNECT_S = 10.0


class Runtime(Protocol):
    """Runs one encoder."""

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Encode prepared inputs [b, ...], at least one, to vectors float32 [b, D].

        Raises:
            WinnowError: the encoder refuses the inputs, or does not answer in time.
        """
        ...


class OnnxRuntime:
    """An ONNX Runtime session in this process; see :class:`Runtime`."""

    def __init__(self, path: Path) -> None:
        """Load an encoder.

        Args:
            path: ``model.onnx``.

        Raises:
            WinnowError: the file is missing, or is not an ONNX model.
        """
        self._path = path
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise WinnowError(f"{path} cannot be loaded; export the encoders again: {error}") from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`Runtime`."""
        return _in_batches(self._run, inputs, MAX_BATCH)

    def _run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        options = onnxruntime.RunOptions()
        late = threading.Timer(TIMEOUT_S, setattr, (options, "terminate", True))
        late.daemon = True
        late.start()
        try:
            vectors: NDArray[np.float32] = self._session.run(None, {self._input: batch}, options)[0]
        except Exception as error:
            if options.terminate:
                raise WinnowError(f"{self._path} took more than {TIMEOUT_S:g} s for {len(batch)} inputs") from error
            raise WinnowError(f"{self._path} does not take {batch.dtype} {batch.shape}: {error}") from error
        finally:
            late.cancel()
        return vectors


class TritonRuntime:
    """A model on a remote Triton; see :class:`Runtime`. Close it after use."""

    def __init__(self, address: str, model: str) -> None:
        """Connect to the newest version of a model.

        Args:
            address: ``host:port`` of Triton's gRPC endpoint.
            model: name of the model.

        Raises:
            WinnowError: Triton does not answer, or does not serve the model.
        """
        self._address, self._model = address, model
        self._client = inference_client(address)
        try:
            with self._asking():
                metadata = self._client.get_model_metadata(model, client_timeout=_CONNECT_S)
                config = self._client.get_model_config(model, client_timeout=_CONNECT_S).config
        except WinnowError:
            self.close()
            raise
        self._input, self._output = metadata.inputs[0].name, metadata.outputs[0].name
        self._batch = min(config.max_batch_size or MAX_BATCH, MAX_BATCH)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`Runtime`."""
        return _in_batches(self._run, inputs, self._batch)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        tensor = grpcclient.InferInput(self._input, list(batch.shape), np_to_triton_dtype(batch.dtype))
        tensor.set_data_from_numpy(batch)
        with self._asking():
            outputs = [grpcclient.InferRequestedOutput(self._output)]
            answer = self._client.infer(self._model, [tensor], outputs=outputs, client_timeout=TIMEOUT_S)
        vectors: NDArray[np.float32] = answer.as_numpy(self._output)
        return vectors

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (InferenceServerException, grpc.RpcError) as error:
            raise WinnowError(
                f"Triton at {self._address} (host:port of its gRPC) does not run {self._model}: {error}; "
                "correct the address, load the model on Triton, or embed in this process"
            ) from error


def _in_batches(
    run: Callable[[NDArray[Any]], NDArray[np.float32]], inputs: NDArray[Any], most: int
) -> NDArray[np.float32]:
    return np.concatenate([run(inputs[start : start + most]) for start in range(0, len(inputs), most)])
