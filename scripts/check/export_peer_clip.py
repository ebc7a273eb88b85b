"""The programs that open a CLIP, for export_peer.py."""

import numpy as np
from export_peer_figures import load, normalized, own_ids, relative, report, unit


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
