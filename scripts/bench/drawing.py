"""DALLE-pytorch's side of drawing-benches.ts: for each line of input one call of generate_images, whose mean token is printed.

drawing.py BATCH
"""

import sys

import torch
from dalle_pytorch import DALLE, DiscreteVAE

TEXT, TEXT_VOCABULARY, IMAGE_VOCABULARY = 64, 4096, 1024
batch = int(sys.argv[1])
torch.set_num_threads(2)
torch.manual_seed(0)
vae = DiscreteVAE(image_size=64, num_layers=2, num_tokens=IMAGE_VOCABULARY, codebook_dim=256, hidden_dim=64)
vae.decode = lambda codes: codes  # only the Transformer is timed
model = DALLE(
    dim=256,
    vae=vae,
    num_text_tokens=TEXT_VOCABULARY,
    text_seq_len=TEXT,
    depth=4,
    heads=4,
    dim_head=64,
    attn_types=("full",),
    rotary_emb=False,
    shift_tokens=False,
    loss_img_weight=7,
).eval()
print("ready", flush=True)
for line in sys.stdin:
    random = torch.Generator().manual_seed(int(line))
    text = torch.randint(1, TEXT_VOCABULARY, (batch, TEXT), generator=random)
    with torch.inference_mode():
        codes = model.generate_images(text, filter_thres=0.9, use_cache=True)
    print(codes.float().mean().item(), flush=True)
