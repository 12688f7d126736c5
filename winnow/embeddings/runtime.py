"""Prepared inputs to vectors without torch: in this process with ONNX Runtime, or by a remote Triton.

Either way a call is cut into batches of bounded size, and each batch is given up after :data:`TIMEOUT_S`.
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
"""Inputs per run: what a large encoder computes on its way stays within memory."""

TIMEOUT_S = 300.0
"""For one batch; a large encoder on few cores takes a minute."""

_CONNECT_S = 10.0


class Runtime(Protocol):
    """Runs one encoder."""

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Prepared inputs [b, ...], at least one -> vectors float32 [b, D].

        Raises:
            WinnowError: the encoder does not take them, or does not answer in time.
        """
        ...


class OnnxRuntime:
    """An ONNX Runtime session in this process; see :class:`Runtime`."""

    def __init__(self, path: Path, threads: int | None) -> None:
        """Load an encoder.

        Args:
            path: ``model.onnx``.
            threads: cores to use; None uses all.

        Raises:
            WinnowError: there is no such file, or it is not an ONNX model.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self._path = path
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no base of their own
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
    """One version of a model that a Triton elsewhere serves; see :class:`Runtime`. Close it after use."""

    def __init__(self, address: str, model: str, version: str) -> None:
        """Connect.

        Args:
            address: ``host:port`` of its gRPC endpoint.
            model: name.
            version: a number, or "" for the newest that it serves.

        Raises:
            WinnowError: it does not answer, or does not serve the model.
        """
        self._address, self._model, self._version = address, model, version
        self._client = inference_client(address)
        try:
            with self._asking():
                metadata = self._client.get_model_metadata(model, version, client_timeout=_CONNECT_S)
                config = self._client.get_model_config(model, version, client_timeout=_CONNECT_S).config
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
            wanted = [grpcclient.InferRequestedOutput(self._output)]
            answer = self._client.infer(self._model, [tensor], self._version, wanted, client_timeout=TIMEOUT_S)
        vectors: NDArray[np.float32] = answer.as_numpy(self._output)
        return vectors

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (InferenceServerException, grpc.RpcError) as error:
            raise WinnowError(
                f"Triton at {self._address} (host:port of its gRPC) does not run {self._model} "
                f"{f'version {self._version}' if self._version else 'in any version'}: {error}; "
                "correct the address, load the model there, or embed in this process"
            ) from error


def _in_batches(
    run: Callable[[NDArray[Any]], NDArray[np.float32]], inputs: NDArray[Any], most: int
) -> NDArray[np.float32]:
    return np.concatenate([run(inputs[start : start + most]) for start in range(0, len(inputs), most)])
