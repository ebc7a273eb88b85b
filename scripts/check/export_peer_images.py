"""The programs that open a dVAE or a VQGAN, for export_peer.py."""

from pathlib import Path

from export_peer_figures import load, relative, report, signed


def openai_dvae(path, e):
    import torch
    from dall_e import Decoder, Encoder, map_pixels, unmap_pixels

    halves = [load(Path(path) / f"{name}.pkl") for name in ("encoder", "decoder")]
    hidden = halves[0]["blocks.input.w"].shape[0]
    init, codes = halves[1]["blocks.input.w"].shape[:2]
    sizes = dict(vocab_size=codes, n_hid=hidden, n_blk_per_group=1)
    encoder, decoder = Encoder(**sizes), Decoder(**sizes, n_init=init)
    for model, weights in zip((encoder, decoder), halves):
        model.load_state_dict(weights)
    x = map_pixels(torch.from_numpy(e["pixels"]).permute(0, 3, 1, 2).float() / 255)
    with torch.no_grad():
        logits = encoder(x)
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(e["codes"]).long(), codes).permute(0, 3, 1, 2).float()
        made = unmap_pixels(torch.sigmoid(decoder(one_hot).float()[:, :3])) * 255
    dvae_report(logits, made, e)


def dvae_report(logits, made, e, **more):
    last = lambda x: x.permute(0, 2, 3, 1).numpy()
    equal = (last(logits).argmax(-1) == e["encoded"]).mean()
    report(logits=relative(last(logits), e["logits"]), pixels=relative(last(made), e["decoded"]), codes=f"{equal:.2%} equal", **more)
    assert equal > 0.999


def discrete_vae(path, e):
    import torch
    from dalle_pytorch import DiscreteVAE

    saved = load(path)
    model = DiscreteVAE(**saved["hparams"]).eval()
    model.load_state_dict(saved["weights"])
    x = torch.from_numpy(e["pixels"]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        logits = model(x, return_logits=True)
        made = model.decode(torch.from_numpy(e["codes"]).long().flatten(1))
    means, stds = (torch.tensor(t).view(1, -1, 1, 1) for t in model.normalization)
    dvae_report(logits, (made * stds + means).clamp(0, 1) * 255, e)


def codes_of(features, model):
    import torch

    if type(model).__name__ == "GumbelVQ":
        return model.quantize.proj(features).argmax(1)
    indices = model.quantize(features)[2][2]
    return indices.reshape(features.shape[0], *features.shape[2:])


def vqgan_report(model, features, codes, decode, e):
    import torch

    equal = (codes.numpy() == e["encoded"]).mean()
    made = ((decode.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    report(pixels=relative(made, e["decoded"]), codes=f"{equal:.2%} equal")
    assert equal > 0.999


def taming(path, e):
    import importlib

    import torch
    import yaml

    about = yaml.safe_load((Path(path) / "model.yaml").read_text())["model"]
    module, name = about["target"].rsplit(".", 1)
    model = getattr(importlib.import_module(module), name)(**about["params"]).eval()
    model.load_state_dict(load(Path(path) / "last.ckpt")["state_dict"])
    with torch.no_grad():
        features = model.quant_conv(model.encoder(signed(e)))
        table = model.quantize.embed if name == "GumbelVQ" else model.quantize.embedding
        z = table(torch.from_numpy(e["codes"]).long()).permute(0, 3, 1, 2)
        vqgan_report(model, features, codes_of(features, model), model.decode(z), e)


def diffusers(path, e):
    import torch
    from diffusers import VQModel

    model = VQModel.from_pretrained(path).eval()
    with torch.no_grad():
        features = model.encode(signed(e)).latents
        z = model.quantize.embedding(torch.from_numpy(e["codes"]).long()).permute(0, 3, 1, 2)
        vqgan_report(model, features, codes_of(features, model), model.decode(z, force_not_quantize=True).sample, e)
