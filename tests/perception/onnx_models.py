"""Tiny ONNX files of the shapes that the backends expect."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_model(path: Path, inputs, nodes, constants, outputs, others=()) -> Path:
    """Write a model. ``inputs`` and ``outputs`` map names to shapes, ``constants`` names to arrays."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [*(numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()), *others],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def save_flat_projection(path: Path, input_shape, size: int, seed: int) -> Path:
    """An embedder that flattens what it gets and multiplies it with a random matrix."""
    weights = np.random.default_rng(seed).normal(size=(int(np.prod(input_shape)), size))
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    return save_model(path, {"image": ["B", *input_shape]}, nodes, {"weights": weights}, {"embedding": ["B", size]})
