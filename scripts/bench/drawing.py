"""DALLE-pytorch's side of drawing-benches.ts: for each line of input one call of generate_images, whose mean token is printed.

drawing.py MODEL BATCH cpu|cuda float32|bfloat16

MODEL is a model section of mm as JSON.
"""

import json
import sys

import torch
from dalle_pytorch import DALLE, DiscreteVAE

section, batch, device, precision = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if device == "cpu":
    torch.set_num_threads(2)
torch.manual_seed(0)
vae = DiscreteVAE(image_size=section["grid"] * 4, num_layers=2, num_tokens=section["imageVocabulary"], codebook_dim=256, hidden_dim=64)
vae.decode = lambda codes: codes  # only the Transformer is timed
model = DALLE(
    dim=section["width"],
    vae=vae,
    num_text_tokens=section["textVocabulary"],
    text_seq_len=section["textLength"],
    depth=section["layers"],
    heads=section["heads"],
    dim_head=section["width"] // section["heads"],
    attn_types=("full",),
    rotary_emb=False,
    shift_tokens=False,
    loss_img_weight=7,
).eval()
model.to(device, getattr(torch, precision))
print("ready", flush=True)
for line in sys.stdin:
    random = torch.Generator().manual_seed(int(line))
    text = torch.randint(1, section["textVocabulary"], (batch, section["textLength"]), generator=random).to(device)
    with torch.inference_mode():
        codes = model.generate_images(text, filter_thres=0.9, use_cache=True)
    print(codes.float().mean().item(), flush=True)
