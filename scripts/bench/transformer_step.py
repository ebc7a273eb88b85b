"""The PyTorch sides of transformer-benches.ts: for each line of input one train step, whose loss is printed.

transformer_step.py dalle-pytorch|eager|compile|bfloat16|bfloat16-compile MODEL BATCH cpu|cuda

MODEL is a model section of mm as JSON. In bfloat16 products are, under autocast.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torch import nn

kind, model_section, batch, device = sys.argv[1:]
section = json.loads(model_section)
WIDTH, LAYERS, HEADS, BATCH = section["width"], section["layers"], section["heads"], int(batch)
TEXT, TEXT_VOCABULARY = section["textLength"], section["textVocabulary"]
IMAGE, IMAGE_VOCABULARY = section["grid"] ** 2, section["imageVocabulary"]
LENGTH = TEXT + IMAGE
if device == "cpu":
    torch.set_num_threads(2)
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.expand, self.contract = nn.Linear(WIDTH, 8 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        heads = self.qkv(self.attention_norm(x)).view(BATCH, LENGTH, 3, HEADS, WIDTH // HEADS)
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(BATCH, LENGTH, WIDTH))
        values, gates = self.expand(self.feed_forward_norm(x)).chunk(2, -1)
        return x + self.contract(values * F.gelu(gates))


class Transformer(nn.Module):
    """mm's model: a start token, learned positions, two heads."""

    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.text, self.image = nn.Embedding(TEXT_VOCABULARY, WIDTH), nn.Embedding(IMAGE_VOCABULARY, WIDTH)
        self.text_position = nn.Parameter(0.02 * torch.randn(TEXT, WIDTH))
        self.image_position = nn.Parameter(0.02 * torch.randn(IMAGE, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.text_head = nn.Linear(WIDTH, TEXT_VOCABULARY + 1)
        self.image_head = nn.Linear(WIDTH, IMAGE_VOCABULARY)

    def forward(self, text, image):
        words = self.text(text) + self.text_position
        pixels = (self.image(image) + self.image_position)[:, :-1]
        x = torch.cat([self.start.expand(BATCH, 1, WIDTH), words, pixels], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        of_text = F.cross_entropy(self.text_head(x[:, :TEXT]).flatten(0, 1), text.flatten())
        of_image = F.cross_entropy(self.image_head(x[:, TEXT:]).flatten(0, 1), image.flatten())
        return of_text / 8 + of_image * 7 / 8


def peer():
    from dalle_pytorch import DALLE, DiscreteVAE

    vae = DiscreteVAE(image_size=section["grid"] * 4, num_layers=2, num_tokens=IMAGE_VOCABULARY, codebook_dim=256, hidden_dim=64)
    model = DALLE(
        dim=WIDTH,
        vae=vae,
        num_text_tokens=TEXT_VOCABULARY,
        text_seq_len=TEXT,
        depth=LAYERS,
        heads=HEADS,
        dim_head=WIDTH // HEADS,
        attn_types=("full",),
        rotary_emb=False,
        shift_tokens=False,
        loss_img_weight=7,
    )
    trained = [parameter for name, parameter in model.named_parameters() if not name.startswith("vae")]
    model.to(device)
    return lambda text, image: model(text + 1, image, return_loss=True), trained


if kind == "dalle-pytorch":
    loss, parameters = peer()
else:
    model = Transformer().to(device)
    parameters = list(model.parameters())
    loss = torch.compile(model) if kind.endswith("compile") else model
optimizer = torch.optim.Adam(parameters, 3e-4, betas=(0.9, 0.96), foreach=True)
print("ready", flush=True)
for line in sys.stdin:
    random = torch.Generator().manual_seed(int(line))
    text = torch.randint(0, TEXT_VOCABULARY - 1, (BATCH, TEXT), generator=random).to(device)
    image = torch.randint(0, IMAGE_VOCABULARY, (BATCH, IMAGE), generator=random).to(device)
    optimizer.zero_grad()
    with torch.autocast(device, torch.bfloat16, enabled=kind.startswith("bfloat16")):
        value = loss(text, image)
    value.backward()
    optimizer.step()
    print(value.item(), flush=True)
