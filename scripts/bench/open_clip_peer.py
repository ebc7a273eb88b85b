"""open_clip's side of the benches of CLIP's features.

pip install torch open_clip_torch safetensors

open_clip_peer.py write MODEL FOLDER   random, perturbed weights, images, texts, the features open_clip gives them, and label texts
open_clip_peer.py serve MODEL FOLDER images|texts   encodes the images, or label texts, once for each line on stdin, and
                                                    prints a value of their features
"""

import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import load_file, save_file

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
BATCH = 32

command, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
torch.manual_seed(1)
model = open_clip.create_model(name, pretrained=None).eval()


def normalized():
    pixels = np.fromfile(folder / "pixels.bin", np.uint8).reshape(BATCH, 224, 224, 3)
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION


def encode(pixels):
    with torch.no_grad():
        return model.encode_image(pixels, normalize=True)


def label_texts():
    labels = torch.tensor(json.loads((folder / "labels.json").read_text()))
    return torch.nn.functional.pad(labels, (0, 77 - labels.shape[1]))


def encode_texts(texts):
    with torch.no_grad():
        return model.encode_text(texts, normalize=True)


if command == "write":
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # gains start at 1 or 0 and biases at 0, which hides mistakes
                parameter.add_(0.1 * torch.randn_like(parameter))
        for buffer_name, buffer in model.named_buffers():
            if buffer_name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn_like(buffer))
            if buffer_name.endswith("running_var"):
                buffer.copy_((0.2 * torch.randn_like(buffer)).exp())
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}, folder / "model.safetensors")
    np.random.default_rng(1).integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8).tofile(folder / "pixels.bin")
    texts = np.random.default_rng(2).integers(0, 49406, (4, 77))
    lengths = [3, 10, 40, 77]
    for row, length in zip(texts, lengths):
        row[0], row[length - 1] = 49406, 49407
        row[length:] = 0
    with torch.no_grad():
        text_features = model.encode_text(torch.from_numpy(texts), normalize=True)
    expected = {
        "texts": [row[:length].tolist() for row, length in zip(texts, lengths)],
        "imageFeatures": encode(normalized()).flatten().tolist(),
        "textFeatures": text_features.flatten().tolist(),
    }
    (folder / "expected.json").write_text(json.dumps(expected))
    labels = [[49406, 320, 1125, 539, 320, 1000 + row, 49407] for row in range(BATCH)]  # "a photo of a …"
    (folder / "labels.json").write_text(json.dumps(labels))
else:
    state = load_file(folder / "model.safetensors")
    model.load_state_dict(state, strict=False)
    run, inputs = (encode, normalized()) if sys.argv[4] == "images" else (encode_texts, label_texts())
    print("ready", flush=True)
    for _ in sys.stdin:
        print(float(run(inputs)[0, 0]), flush=True)
