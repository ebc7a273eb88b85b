"""The programs' side of export.ts: opens what mm export wrote, and compares what it computes with what mm does.

export_peer.py FORMAT KIND FILES EXPECTED.safetensors; prints the largest differences, and fails above their limits.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np  # noqa: E402
from export_peer_clip import dalle_pytorch_clip, open_clip, openai, transformers  # noqa: E402
from export_peer_figures import load, own_ids, read_safetensors, relative, report  # noqa: E402
from export_peer_images import diffusers, discrete_vae, openai_dvae, taming  # noqa: E402


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
