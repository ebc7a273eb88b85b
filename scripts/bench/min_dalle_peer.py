"""min-dalle's side of min-dalle.ts: for each line of input, the first tokens of an image, the last of which is printed.

min_dalle_peer.py FOLDER TOKENS
"""

import json
import re
import sys
from pathlib import Path

import torch
from min_dalle.models import DalleBartDecoder, DalleBartEncoder
from min_dalle.text_tokenizer import TextTokenizer

torch.set_grad_enabled(False)
torch.set_num_threads(2)
folder, count = Path(sys.argv[1]), int(sys.argv[2])
GUIDANCE = 16
PROMPT = "a red circle"
converted = (folder / "converted/config.yaml").read_text()
heads, start, text_length, codes = (
    int(re.search(rf"^ +{key}: (\d+)$", converted, re.MULTILINE)[1]) for key in ("heads", "imageStart", "textLength", "imageVocabulary")
)
TOP_K = min(256, codes)


def part(name, make):
    state = torch.load(folder / name)
    module = make(state).eval()
    module.load_state_dict(state, strict=False)
    return module


def sizes(state):
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    width = state["embed_tokens.weight"].shape[1]
    hidden = state["layers.0.glu.fc0.weight"].shape[0]
    return dict(layer_count=layers, embed_count=width, attention_head_count=heads, glu_embed_count=hidden, device="cpu")


def encoder_of(state):
    return DalleBartEncoder(
        text_token_count=state["embed_positions.weight"].shape[0], text_vocab_count=state["embed_tokens.weight"].shape[0], **sizes(state)
    )


encoder = part("encoder.pt", encoder_of)
decoder = part("decoder.pt", lambda state: DalleBartDecoder(image_vocab_count=state["embed_tokens.weight"].shape[0] - 1, **sizes(state)))
vocabulary = json.loads((folder / "vocab.json").read_text())
tokenizer = TextTokenizer(vocabulary, (folder / "merges.txt").read_text().split("\n")[1:-1])
print("ready", flush=True)
for line in sys.stdin:
    # As MinDalle.generate_raw_image_stream does it for one image.
    torch.manual_seed(int(line) + 1)
    tokens = tokenizer.tokenize(PROMPT)
    text = torch.ones((2, text_length), dtype=torch.long)
    text[0, :2] = torch.tensor([tokens[0], tokens[-1]])
    text[1, : len(tokens)] = torch.tensor(tokens)
    states = encoder(text)
    mask = text.not_equal(1)[:, None, None, :]
    cache = torch.zeros((decoder.layer_count, 4, 256, decoder.embed_count))
    settings = torch.tensor([1, TOP_K, GUIDANCE], dtype=torch.float32)
    last = torch.full((1,), start)
    for i in range(count):
        last, cache = decoder.sample_tokens(
            settings=settings,
            attention_mask=mask,
            encoder_state=states,
            attention_state=cache,
            prev_tokens=last[:, None],
            token_index=torch.tensor([i]),
        )
    print(float(last), flush=True)
