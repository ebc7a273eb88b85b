"""open_clip's side of open-clip-configs.ts and open-clip-full-size.ts.

pip install torch transformers open_clip_torch safetensors

open-clip-configs.py list                 all of open_clip's configurations, as JSON: [{name, family, vision, text}]
open-clip-configs.py write NAME FOLDER    NAME with few layers, a small vocabulary and random, perturbed weights in open_clip's
                                          folder format, with FOLDER/expected.json: images, token ids, features, probabilities
open-clip-configs.py full NAME FOLDER TYPE ENDING
                                          NAME or NAME:TAG with all layers and ids, the preprocessing of the
                                          published weights TAG, weights in TYPE (float32, float16, bfloat16) and
                                          a file of ENDING (safetensors, pt)
open-clip-configs.py transformers FOLDER  a CLIPModel of ViT-H-14's head width in transformers' folder format, the same way
"""

import base64
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.factory import create_model
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

STRINGS = ["a red cat", "two  Blue dogs", "the end!"]
IMAGES = 3
LAYERS = 2
CLIP_VOCABULARY = 514
SIGLIP_VOCABULARY = 400
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "cat", "two", "blue", "dog", "##s", "the", "en", "##d", "!"]


def is_siglip(config):
    return "_siglip_" in config.get("vision_cfg", {}).get("timm_model_name", "")


def family(config):
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    if "multimodal_cfg" in config:
        return "CoCa"
    if is_siglip(config) and "hf_model_name" not in text:
        return "native"
    towers = ["timm image tower"] * ("timm_model_name" in vision) + ["transformers text tower"] * ("hf_model_name" in text)
    return " and ".join(towers) or "native"


def listing():
    result = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        result.append({"name": name, "family": family(config), "config": config})
    return result


def reduced(config):
    """The same widths, heads, ratios, pooling and tokenizer kind; fewer layers and ids."""
    config = json.loads(json.dumps(config))
    vision, text = config["vision_cfg"], config["text_cfg"]
    if not is_siglip(config):
        vision["layers"] = [1, 1, 1, 1] if isinstance(vision["layers"], list) else LAYERS
    text["layers"] = LAYERS
    text["vocab_size"] = len(WORDS) + 4 if "hf_tokenizer_name" in text else CLIP_VOCABULARY
    if is_siglip(config):
        text["vocab_size"] = SIGLIP_VOCABULARY
    return config


def build(folder, depth=None):
    """The model of the folder; of timm's image tower, only the first `depth` blocks."""
    model = create_model(f"local-dir:{folder}", load_weights=False)
    if depth is not None and hasattr(model.visual, "trunk"):
        model.visual.trunk.blocks = model.visual.trunk.blocks[:depth]
    return model


def preprocessing(name, tag):
    """Of the pretrained weights of this name and tag that open_clip lists; OpenAI's where it lists none."""
    for tag in [tag] if tag else open_clip.list_pretrained_tags_by_model(name):
        listed = open_clip.get_pretrained_cfg(name, tag)
        return {key: listed[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in listed}
    return {}


@torch.no_grad()
def perturb(model, seed):
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:  # gains start at 1 and biases at 0, which hides mistakes
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=random))
        elif "embedding" in name or name.endswith(("pos_embed", "latent")):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=random))
        else:
            parameter.copy_(torch.randn(parameter.shape, generator=random) / math.sqrt(math.prod(parameter.shape[1:])))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=random))
        if name.endswith("running_var"):
            buffer.copy_((0.2 * torch.randn(buffer.shape, generator=random)).exp())
    model.logit_scale.fill_(2.0)
    if getattr(model, "logit_bias", None) is not None:
        model.logit_bias.fill_(-1.5)
    return model.eval()


def write_tokenizer(folder, text):
    if "hf_tokenizer_name" not in text:
        (folder / "merges.txt").write_text("#version: 0.2\n")
        return
    if "SigLIP" in text["hf_tokenizer_name"]:
        write_siglip(folder, text["hf_tokenizer_name"])
    elif any(kind in text["hf_tokenizer_name"] for kind in ("xlm", "mt5")):
        write_unigram(folder, text)
    else:
        write_word_piece(folder, WORDS)


def write_word_piece(folder, words):
    from transformers import BertTokenizerFast
    with tempfile.TemporaryDirectory() as vocabulary:
        path = Path(vocabulary) / "vocab.txt"
        path.write_text("\n".join(words) + "\n")
        BertTokenizerFast(str(path)).save_pretrained(folder)


def write_unigram(folder, text):
    """The pieces of XLM's or mT5's kind of SentencePiece model, with their special tokens where those have them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    is_xlm = "xlm" in text["hf_tokenizer_name"]
    special = ["<s>", "<pad>", "</s>", "<unk>"] if is_xlm else ["<pad>", "</s>", "<unk>"]
    pieces = ["▁", "▁a", "▁red", "▁cat", "▁two", "▁Blue", "▁dog", "s", "▁the", "▁en", "d", "!", "e", "n"]
    vocabulary = [(piece, 0.0) for piece in special] + [(piece, -1.0 - 0.1 * i) for i, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=special.index("<unk>")))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    names = [("<s>", 0), ("</s>", 2)] if is_xlm else [("</s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>" if is_xlm else "$A </s>", special_tokens=names)
    options = {"bos_token": "<s>"} if is_xlm else {}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", **options
    ).save_pretrained(folder)


def write_siglip(folder, name, ids=None):
    """SigLIP's kind of SentencePiece, padded with its end token, or SigLIP 2's byte pairs of Gemma. `ids`: fill up to so many."""
    from siglip_tokenizers import gemma, siglip
    (gemma if "SigLIP2" in name else siglip)(folder, STRINGS, ids)


def write_full_tokenizer(folder, text):
    if "hf_tokenizer_name" not in text:
        shutil.copy(Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz", folder)
        return
    if "SigLIP" in text["hf_tokenizer_name"]:
        write_siglip(folder, text["hf_tokenizer_name"], text["vocab_size"])
        return
    # Words that no string has fill the places of the published vocabulary.
    write_word_piece(folder, WORDS + [f"word{i}" for i in range(text["vocab_size"] - len(WORDS))])


def clip_ids(length):
    import regex
    order = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    order += [byte for byte in range(256) if byte not in order]
    rank = {byte: i for i, byte in enumerate(order)}
    rows = []
    for string in STRINGS:
        words = [w.encode() for w in regex.findall(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", string.lower())]
        ids = [rank[b] + 256 * (i == len(w) - 1) for w in words for i, b in enumerate(w)]
        row = [CLIP_VOCABULARY - 2, *ids[: length - 2], CLIP_VOCABULARY - 1]
        rows.append(row + [0] * (length - len(row)))
    return torch.tensor(rows)


def random_images(size):
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(IMAGES)]


def expected(folder, pixels, ids, images, texts, scale, bias=None):
    norm = lambda t: t / t.norm(dim=-1, keepdim=True)
    numbers = lambda t: [float(x) for x in t.flatten()]
    (folder / "expected.json").write_text(json.dumps({
        "pixels": base64.b64encode(np.stack(pixels).tobytes()).decode(),
        "strings": STRINGS,
        "ids": ids.tolist(),
        "imageFeatures": numbers(norm(images)),
        "textFeatures": numbers(norm(texts)),
        "probabilities": numbers(probabilities(scale.exp() * norm(images) @ norm(texts).T, bias)),
    }))


def probabilities(logits, bias):
    return logits.softmax(-1) if bias is None else (logits + bias).sigmoid()


@torch.no_grad()
def write(name, folder, dtype=None, ending="safetensors"):
    name, _, tag = name.partition(":")
    whole = open_clip.get_model_config(name)
    config = whole if dtype else reduced(whole)
    text, size = config["text_cfg"], config["vision_cfg"]["image_size"]
    cfg = PreprocessCfg(size=size, **preprocessing(name, tag))
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": vars(cfg)}))
    (write_full_tokenizer if dtype else write_tokenizer)(folder, text)
    model = perturb(build(folder, None if dtype else LAYERS), 1)
    type = getattr(torch, dtype or "float32")
    for parameter in model.parameters():  # what the file says, so that both sides compute with the same numbers
        parameter.copy_(parameter.to(type))
    state = {k: v.to(type).contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}
    if ending == "pt":
        torch.save({"epoch": 32, "state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "epoch_32.pt")
    else:
        save_file(state, folder / "open_clip_model.safetensors")
    del state
    pixels = random_images(size)
    transform = image_transform_v2(cfg, is_train=False)
    native = "hf_tokenizer_name" not in text
    if dtype and native:
        ids = open_clip.get_tokenizer(name)(STRINGS)
    else:
        ids = clip_ids(text["context_length"]) if native else open_clip.get_tokenizer(f"local-dir:{folder}")(STRINGS)
    images = model.encode_image(torch.stack([transform(Image.fromarray(p)) for p in pixels]))
    expected(folder, pixels, ids, images, model.encode_text(ids), model.logit_scale, getattr(model, "logit_bias", None))


@torch.no_grad()
def write_transformers(folder):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel
    common = dict(num_hidden_layers=LAYERS, hidden_act="gelu")
    config = CLIPConfig(
        text_config=dict(
            hidden_size=1024, intermediate_size=4096, num_attention_heads=16, vocab_size=CLIP_VOCABULARY,
            bos_token_id=CLIP_VOCABULARY - 2, eos_token_id=CLIP_VOCABULARY - 1, pad_token_id=0, **common,
        ),
        vision_config=dict(hidden_size=1280, intermediate_size=5120, num_attention_heads=16, image_size=224, patch_size=14, **common),
        projection_dim=1024,
    )
    model = perturb(CLIPModel(config), 1)
    model.save_pretrained(folder)
    processor = CLIPImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor.save_pretrained(folder)
    (folder / "merges.txt").write_text("#version: 0.2\n")
    pixels, ids = random_images(224), clip_ids(77)
    values = processor(images=[Image.fromarray(p) for p in pixels], return_tensors="pt").pixel_values
    result = model(input_ids=ids, pixel_values=values)
    expected(folder, pixels, ids, result.image_embeds, result.text_embeds, model.logit_scale)


command, *rest = sys.argv[1:]
if command == "list":
    print(json.dumps(listing()))
elif command == "write":
    write(rest[0], Path(rest[1]))
elif command == "full":
    write(rest[0], Path(rest[1]), *rest[2:])
else:
    write_transformers(Path(rest[0]))
