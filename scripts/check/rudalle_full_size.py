"""The package's side of rudalle.ts: a ruDALL-E of a published size with random weights, and what it gives.

pip install torch transformers rudalle youtokentome safetensors; rudalle_full_size.py VERSION LAYERS WIDTH HEADS TOKENS FOLDER

Writes FOLDER/model as people have it, and FOLDER/expected.safetensors: logits of one captioned image and, with top-k 1,
the first TOKENS image tokens of a prompt, whose other tokens are given; of a whole image its pixels too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from rudalle_peer import CodesOnly, perturb, tiny_tokenizer  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from rudalle import pipelines, vae  # noqa: E402
from rudalle.dalle.model import DalleModel  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

PROMPT = "Красный круг на столе и синий квадрат"
TEXT, GRID = 128, 32


class Given:
    """Image prompts that give every token from `first` on, as ImagePrompts does that of a border."""

    def __init__(self, codes, first):
        self.image_prompts = codes
        self.image_prompts_idx = set(range(first, codes.shape[1]))


@torch.no_grad()
def main(version, layers, width, heads, tokens, folder):
    torch.set_num_threads(2)
    torch.manual_seed(1)
    model = DalleModel(
        device="cpu",
        num_layers=layers,
        vocab_size=16384 + TEXT,
        hidden_size=width,
        num_attention_heads=heads,
        embedding_dropout_prob=0.1,
        output_dropout_prob=0.1,
        attention_dropout_prob=0.1,
        image_tokens_per_dim=GRID,
        text_seq_length=TEXT,
        cogview_sandwich_layernorm=True,
        cogview_pb_relax=True,
        image_vocab_size=8192,
        hf_version=version,
    ).eval()
    perturb(model, 1)
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    (folder / "model").mkdir(parents=True)
    weights = {name: parameter.half() for name, parameter in model.named_parameters()}
    torch.save(weights, folder / "model" / "pytorch_model.bin")
    del weights
    tokenizer = tiny_tokenizer(folder / "model" / "bpe.model", 72)
    image_model = vae.get_vae(pretrained=False)
    generator = torch.Generator().manual_seed(2)
    for parameter in image_model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    torch.save({"state_dict": image_model.model.state_dict()}, folder / "model" / "vqgan.gumbelf8-sber.model.ckpt")
    text = tokenizer.encode_text(PROMPT.lower().strip(), text_seq_length=TEXT)[None]
    image = torch.randint(0, 8192, (1, GRID**2), generator=generator)
    mask = torch.tril(torch.ones(1, 1, TEXT + GRID**2, TEXT + GRID**2))
    logits, _ = model(torch.cat([text, image], 1), mask)
    first = TEXT if version == "v2" else TEXT - 1
    keep = CodesOnly()
    options = {} if tokens == GRID**2 else {"image_prompts": Given(image, tokens)}
    pipelines.generate_images(PROMPT, tokenizer, model, keep, top_k=1, top_p=1.0, images_num=1, bs=1, **options)
    pixels = pipelines.utils.torch_tensors_to_pil_list(image_model.decode(keep.codes))[0]
    vocabulary = 16384 + TEXT
    save_file(
        {
            "text": text.int(),
            "image": image.int(),
            "textLogits": logits[:, :first, :vocabulary].contiguous(),
            "imageLogits": logits[:, first : first + GRID**2, vocabulary:].contiguous(),
            "drawn": keep.codes[0, :tokens].int(),
            "pixels": torch.from_numpy(np.array(pixels)),
        },
        folder / "expected.safetensors",
    )


if __name__ == "__main__":
    version, *numbers, folder = sys.argv[1:]
    main(version, *map(int, numbers), Path(folder))
