"""Figures of mm that export_peer.py compares with, and the comparison."""

import json
from pathlib import Path

import numpy as np

LIMIT = 1e-4


def read_safetensors(path):
    types = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    texts = json.loads(header.pop("__metadata__")["texts"])
    tensors = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + size + begin : 8 + size + end], types[about["dtype"]]).reshape(about["shape"])
    return tensors, texts


def relative(made, wanted):
    made = np.asarray(made, np.float64)
    assert made.shape == wanted.shape, (made.shape, wanted.shape)
    return float(np.abs(made - wanted).max() / np.sqrt(np.square(wanted.astype(np.float64)).mean()))


def report(**figures):
    print(", ".join(f"{name} {value:.1e}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()))
    assert all(not isinstance(value, float) or value <= LIMIT for value in figures.values()), figures


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def normalized(e):
    import torch

    x = (e["pixels"].astype(np.float64) / 255 - e["mean"]) / e["stddev"]
    return torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def own_ids(e):
    return [list(row[mask > 0]) for row, mask in zip(e["text"], e["mask"])]


def load(path):
    import torch

    return torch.load(path, weights_only=True)


def signed(e):
    import torch

    return torch.from_numpy(e["pixels"]).permute(0, 3, 1, 2).float() / 127.5 - 1
