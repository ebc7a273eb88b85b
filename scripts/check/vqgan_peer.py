"""The side of taming-transformers and diffusers of vqgan.ts: a VQGAN of a published shape with random weights, and what it
gives.

pip install torch taming-transformers-rom1504 diffusers safetensors; vqgan_peer.py NAME FOLDER

The shapes are those of the files model.yaml and config.json of the published weights. Gains and biases, which start at 1
and 0, are random, and the codebook is made of the encoder's features: as it starts, in ±1/codes, distances to all of its
vectors are equal but for rounding.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

IMAGES = 4
LOSS = {"target": "taming.modules.losses.DummyLoss"}


def shape(codes, width, multipliers, attention, latent):
    return dict(
        embed_dim=width,
        n_embed=codes,
        ddconfig=dict(
            double_z=False,
            z_channels=latent,
            resolution=256,
            in_channels=3,
            out_ch=3,
            ch=128,
            ch_mult=multipliers,
            num_res_blocks=2,
            attn_resolutions=attention,
            dropout=0.0,
        ),
        lossconfig=LOSS,
    )


TAMING = {
    "f16-1024": shape(1024, 256, [1, 1, 2, 2, 4], [16], 256),
    "f16-16384": shape(16384, 256, [1, 1, 2, 2, 4], [16], 256),
    "gumbel-f8": dict(shape(8192, 256, [1, 1, 2, 4], [32], 256), kl_weight=1e-8, temperature_scheduler_config=LOSS),
    "vq-f4": shape(8192, 3, [1, 2, 4], [], 3),
    "vq-f8": shape(16384, 4, [1, 2, 2, 4], [32], 4),
    "vq-f8-n256": shape(256, 4, [1, 2, 2, 4], [32], 4),
}
AMUSED = dict(
    down_block_types=["DownEncoderBlock2D"] * 5,
    up_block_types=["UpDecoderBlock2D"] * 5,
    block_out_channels=[128, 256, 256, 512, 768],
    layers_per_block=2,
    latent_channels=64,
    sample_size=256,
    num_vq_embeddings=8192,
    vq_embed_dim=64,
    mid_block_add_attention=False,
    lookup_from_codebook=True,
)


def perturb(model):
    random = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return model.eval()


def images(size):
    """Blocks and noise: smooth parts and edges."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (IMAGES, 16, 16, 3)).repeat(size // 16, 1).repeat(size // 16, 2)
    return (blocks + random.integers(-20, 21, blocks.shape)).clip(0, 255).astype(np.uint8)


def each(function, batch):
    return torch.cat([function(item[None]) for item in batch])


@torch.no_grad()
def write(name, folder):
    torch.manual_seed(1)
    is_gumbel = name.startswith("gumbel")
    if name == "amused":
        from diffusers import VQModel

        model = perturb(VQModel(**AMUSED))
    else:
        from taming.models.vqgan import GumbelVQ, VQModel

        model = perturb((GumbelVQ if is_gumbel else VQModel)(**TAMING[name]))
    pixels = images(256)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    features = each(lambda item: model.quant_conv(model.encoder(item)), x)
    quantize = model.quantize
    random = torch.Generator().manual_seed(2)
    if is_gumbel:
        quantize.proj.bias -= quantize.proj(features).mean((0, 2, 3))
        codes = quantize.proj(features).argmax(1)
        codebook = quantize.embed
    else:
        codebook = quantize.embedding
        rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        picked = rows[torch.randint(0, len(rows), (len(codebook.weight),), generator=random)]
        noise = torch.randn(picked.shape, generator=random) * rows.std(0)
        codebook.weight.copy_(picked + 0.3 * noise)
        codes = quantize(features)[2][2].reshape(IMAGES, *features.shape[2:])
    z = codebook(codes).permute(0, 3, 1, 2)
    decoded = each(lambda item: model.decoder(model.post_quant_conv(item)), z)
    last = lambda tensor: tensor.permute(0, 2, 3, 1).contiguous()
    expected = {"features": last(features), "codes": codes.int().contiguous(), "decoded": last(decoded)}
    save_file({"pixels": torch.from_numpy(pixels), **expected}, folder / "expected.safetensors")
    if name == "amused":
        model.save_pretrained(folder / "model")
        return
    (folder / "model").mkdir()
    torch.save({"state_dict": model.state_dict()}, folder / "model/last.ckpt")
    target = f"taming.models.vqgan.{type(model).__name__}"
    (folder / "model/model.yaml").write_text(yaml.safe_dump({"model": {"target": target, "params": TAMING[name]}}))


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
