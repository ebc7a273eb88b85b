"""The programs' side of export.ts: opens what mm export wrote, and compares what it computes with what mm does.

export_peer.py FORMAT KIND FILES EXPECTED.safetensors; prints the largest differences, and fails above their limits.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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


def transformers(path, e, texts):
    import torch
    from PIL import Image
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    model, info = CLIPModel.from_pretrained(path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = [tokenizer(text, truncation=True)["input_ids"] for text in texts]
    assert ids == own_ids(e), (ids, own_ids(e))
    processor = CLIPImageProcessor.from_pretrained(path)
    size = e["pixels"].shape[1]
    made = processor([Image.fromarray(image) for image in e["pixels"]], return_tensors="pt")["pixel_values"]
    batch = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        image = model.get_image_features(normalized(e))
        text = model.get_text_features(**{key: batch[key] for key in ("input_ids", "attention_mask")})
    image, text = (x if isinstance(x, torch.Tensor) else x.pooler_output for x in (image, text))
    report(
        images=relative(unit(image.numpy()), e["imageFeatures"]),
        texts=relative(unit(text.numpy()), e["textFeatures"]),
        pixels=relative(made.numpy(), normalized(e).numpy()),
        ids="identical",
        size=size,
    )


def clip_features(model, e, ids):
    import torch

    with torch.no_grad():
        image = model.encode_image(normalized(e), normalize=True)
        text = model.encode_text(ids, normalize=True)
    return dict(images=relative(image.numpy(), e["imageFeatures"]), texts=relative(text.numpy(), e["textFeatures"]))


def open_clip(path, e, texts):
    import open_clip
    from open_clip.transform import PreprocessCfg

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{path}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{path}")
    ids = tokenizer(texts)
    for row, own in zip(ids.tolist(), own_ids(e)):
        assert row[: len(own)] == own, (row, own)
    assert isinstance(PreprocessCfg(**model.visual.preprocess_cfg), PreprocessCfg)
    wanted = normalized(e)
    from PIL import Image
    import torch

    made = torch.stack([preprocess(Image.fromarray(image)) for image in e["pixels"]])
    report(**clip_features(model, e, ids), pixels=relative(made.numpy(), wanted.numpy()), ids="identical")


def openai(path, e, texts):
    import torch
    from open_clip.model import build_model_from_openai_state_dict

    weights = load(path)
    # As in openai/CLIP: sizes are read off the file. The model is made in float16, and gets the weights again.
    model = build_model_from_openai_state_dict(dict(weights), cast_dtype=torch.float32).float().eval()
    sizes = ("input_resolution", "context_length", "vocab_size")
    model.load_state_dict({name: tensor for name, tensor in weights.items() if name not in sizes})
    report(**clip_features(model, e, torch.from_numpy(e["text"]).long()))


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


def signed(e):
    import torch

    return torch.from_numpy(e["pixels"]).permute(0, 3, 1, 2).float() / 127.5 - 1


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


def dalle(path, e):
    import torch
    from dalle_pytorch import DALLE, DiscreteVAE

    saved = load(path)
    assert saved["vae_class_name"] == "DiscreteVAE"
    model = DALLE(vae=DiscreteVAE(**saved["vae_params"]), **saved["hparams"]).eval()
    model.load_state_dict(saved["weights"])
    text, image = torch.from_numpy(e["text"]).long(), torch.from_numpy(e["image"]).long()
    with torch.no_grad():
        logits = model(text.clone(), image)
        x = torch.from_numpy(e["vaePixels"]).permute(0, 3, 1, 2).float() / 255
        codes = model.vae.get_codebook_indices(x).numpy().reshape(e["vaeCodes"].shape)
    length, classes = model.text_seq_len, model.num_text_tokens
    report(
        text=relative(logits[:, :length, :classes].numpy(), e["textLogits"]),
        image=relative(logits[:, length:, classes:].numpy(), e["imageLogits"]),
        codes=f"{(codes == e['vaeCodes']).mean():.2%} equal",
    )


def dalle_pytorch_clip(path, e):
    import torch
    from dalle_pytorch import CLIP

    weights = load(path)
    size, text = e["pixels"].shape[1], e["text"]
    model = CLIP(
        dim_text=128, dim_image=128, dim_latent=48, num_text_tokens=300, text_enc_depth=2, text_seq_len=text.shape[1],
        text_heads=2, visual_enc_depth=2, visual_heads=2, visual_image_size=size, visual_patch_size=8,
    ).eval()
    model.load_state_dict(weights)
    x = torch.from_numpy(e["pixels"]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        sims = model(torch.from_numpy(text).long(), x, text_mask=torch.from_numpy(e["mask"]).bool())
    wanted = (e["imageFeatures"] * e["textFeatures"]).sum(-1) * np.exp(weights["temperature"].item())
    report(similarities=relative(sims.numpy(), wanted))


def tokenizer(path, e, texts):
    from tokenizers import Tokenizer

    ids = [Tokenizer.from_file(path).encode(text, add_special_tokens=False).ids for text in texts]
    own = own_ids(e)
    # Texts that were cut are compared as far as they go; start and end token are the model's.
    for made, row in zip(ids, own):
        inner = row[1:-1]
        assert made[: len(inner)] == [int(one) for one in inner], (made, inner)
    report(ids="identical")


def saved_model(path, kind, e):
    import tensorflow as tf

    model = tf.saved_model.load(path)
    run = lambda name, **given: model.signatures[name](**{key: tf.constant(value) for key, value in given.items()})
    figures = {}
    calls = (
        [("encode_images", dict(pixels="pixels"), "features", "imageFeatures"), ("encode_texts", dict(text="text", mask="mask"), "features", "textFeatures")]
        if kind == "clip"
        else [("encode", dict(pixels="pixels"), "codes", "encoded"), ("decode", dict(codes="codes"), "pixels", "decoded")]
    )
    for name, inputs, output, wanted in calls:
        for count in (3, 1, 5):
            given = {key: np.concatenate([e[value], e[value]])[:count] for key, value in inputs.items()}
            made = run(name, **given)[output].numpy()
            full = np.concatenate([e[wanted], e[wanted]])[:count]
            if output == "codes":
                figures[f"{name} of {count}"] = f"{(made == full).mean():.2%} equal"
                assert (made == full).mean() > 0.999, (made, full)
            else:
                figures[f"{name} of {count}"] = relative(made, full)
    report(**figures, variables=len(model.variables))


def main(form, kind, path, expected):
    e, texts = read_safetensors(expected)
    if form == "saved-model":
        return saved_model(path, kind, e)
    if form == "tokenizer":
        return tokenizer(path, e, texts)
    if form == "openai":
        return openai(path, e, texts) if kind == "clip" else openai_dvae(path, e)
    if form == "dalle-pytorch":
        return {"clip": dalle_pytorch_clip, "dvae": discrete_vae, "dalle": dalle}[kind](path, e)
    if form in ("taming", "diffusers"):
        return {"taming": taming, "diffusers": diffusers}[form](path, e)
    return {"transformers": transformers, "open-clip": open_clip}[form](path, e, texts)


if __name__ == "__main__":
    main(*sys.argv[1:])
