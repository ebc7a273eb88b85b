"""The package's side of rudalle.ts: a ruDALL-E of a published size with random weights, and what it gives.

pip install torch transformers rudalle youtokentome safetensors
rudalle_full_size.py make FOLDER VERSION LAYERS WIDTH HEADS    the model as people have it; logits of one captioned image
rudalle_full_size.py judge FOLDER VERSION LAYERS WIDTH HEADS   of the image tokens in codes.json: how many, from the first
    on, are the most likely after those before them, which are those of generate_images with top-k 1; and the pixels
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from rudalle_peer import perturb, tiny_tokenizer  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from rudalle import pipelines, vae  # noqa: E402
from rudalle.dalle.model import DalleModel  # noqa: E402
from rudalle.tokenizer import get_tokenizer  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

PROMPT = "Красный круг на столе и синий квадрат"
TEXT, GRID, WORDS, CODES = 128, 32, 16384, 8192
VQGAN = "vqgan.gumbelf8-sber.model.ckpt"


def model_of(version, layers, width, heads):
    return DalleModel(
        device="cpu",
        num_layers=layers,
        vocab_size=WORDS + TEXT,
        hidden_size=width,
        num_attention_heads=heads,
        embedding_dropout_prob=0.1,
        output_dropout_prob=0.1,
        attention_dropout_prob=0.1,
        image_tokens_per_dim=GRID,
        text_seq_length=TEXT,
        cogview_sandwich_layernorm=True,
        cogview_pb_relax=True,
        image_vocab_size=CODES,
        hf_version=version,
        # Weights are not initialized twice.
        init_layer_func=lambda layer, prefix=None: layer,
    ).eval()


def logits_of(model, version, text, image):
    """Of the text, and of the positions that predict an image token."""
    mask = torch.tril(torch.ones(1, 1, TEXT + GRID**2, TEXT + GRID**2))
    logits, _ = model(torch.cat([text, image], 1), mask)
    first = TEXT if version == "v2" else TEXT - 1
    return logits[:, :first, : WORDS + TEXT], logits[:, first : first + GRID**2, WORDS + TEXT :]


def make(folder, version, *sizes):
    model = model_of(version, *sizes)
    perturb(model, 1)
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    (folder / "model").mkdir()
    torch.save({name: parameter.half() for name, parameter in model.named_parameters()}, folder / "model" / "pytorch_model.bin")
    tokenizer = tiny_tokenizer(folder / "model" / "bpe.model", 72)
    image_model = vae.get_vae(pretrained=False)
    generator = torch.Generator().manual_seed(2)
    for parameter in image_model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    torch.save({"state_dict": image_model.model.state_dict()}, folder / "model" / VQGAN)
    text = tokenizer.encode_text(PROMPT.lower().strip(), text_seq_length=TEXT)[None]
    image = torch.randint(0, CODES, (1, GRID**2), generator=generator)
    text_logits, image_logits = logits_of(model, version, text, image)
    tensors = {"image": image.int(), "textLogits": text_logits.contiguous(), "imageLogits": image_logits.contiguous()}
    save_file(tensors, folder / "expected.safetensors")


def judge(folder, version, *sizes):
    model = model_of(version, *sizes)
    model.load_state_dict(torch.load(folder / "model" / "pytorch_model.bin", mmap=True), strict=False)
    text = get_tokenizer(str(folder / "model" / "bpe.model")).encode_text(PROMPT.lower().strip(), text_seq_length=TEXT)
    codes = torch.tensor(json.loads((folder / "codes.json").read_text()))[None]
    _, logits = logits_of(model, version, text[None], codes)
    wrong = (logits.argmax(-1) != codes)[0].nonzero().flatten().tolist()
    (folder / "judged.json").write_text(json.dumps({"equal": wrong[0] if wrong else codes.shape[1]}))
    image_model = vae.get_vae(pretrained=False)
    image_model.model.load_state_dict(torch.load(folder / "model" / VQGAN)["state_dict"])
    image = pipelines.utils.torch_tensors_to_pil_list(image_model.decode(codes))[0]
    (folder / "pixels.bin").write_bytes(np.array(image).tobytes())


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    action, folder, version, *numbers = sys.argv[1:]
    {"make": make, "judge": judge}[action](Path(folder), version, *map(int, numbers))
