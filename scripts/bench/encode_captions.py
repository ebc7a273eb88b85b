"""The Python side of tokenizers.ts: `tokenizers` on one thread. Also writes the captions and the tokenizers.

pip install tokenizers sentencepiece

  python encode_captions.py write FOLDER CAPTIONS     captions.txt and NAME.json of each kind
  python encode_captions.py encode FOLDER NAME BATCH  a step for each line: the captions of that number, in order
"""

import io
import json
import os
import random
import sys
import zlib
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.normalizers import BertNormalizer, Lowercase, NFC, NFKC, Precompiled, Prepend, Replace, Strip
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Metaspace, Split, WhitespaceSplit

WORDS = 80_000
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def captions(count):
    """Words of syllables, as frequent as Zipf's law has it, with capitals, accents, digits and punctuation."""
    draw = random.Random(1)
    syllables = [c + v + e for c in "b c d f g h l m n p r s t st tr sh".split() for v in "a e i o u ea ou é".split() for e in ["", "n", "r", "s"]]
    words = ["".join(draw.choice(syllables) for _ in range(draw.choice([1, 1, 2, 2, 2, 3, 3, 4]))) for _ in range(WORDS)]
    weights = [1 / (rank + 3) for rank in range(WORDS)]
    total = 0
    cumulative = [total := total + weight for weight in weights]
    for _ in range(count):
        chosen = draw.choices(words, cum_weights=cumulative, k=draw.randint(5, 16))
        if draw.random() < 0.2:
            chosen[draw.randrange(len(chosen))] = str(draw.randrange(2100))
        if draw.random() < 0.3:
            chosen[-1] += draw.choice([".", "!", ", 4k", "'s", " (hd)"])
        yield " ".join(chosen).capitalize() if draw.random() < 0.7 else " ".join(chosen).title()


def charsmap():
    """SentencePiece's own table of nmt_nfkc, which T5's normalizer is, from a model trained with it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g h i j"] * 10), model_writer=model, vocab_size=16,
        hard_vocab_limit=False, minloglevel=2, normalization_rule_name="nmt_nfkc")
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def trained(texts, model, trainer, normalizer, pre_tokenizer):
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write(folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    lines = list(captions(count))
    (folder / "captions.txt").write_text("\n".join(lines))
    texts = lines[:200_000]
    alphabet = ByteLevel.alphabet()

    def bpe(merges, special=(), **options):
        return trainers.BpeTrainer(vocab_size=256 + merges + len(special) + (256 if options else 0), show_progress=False,
                                   initial_alphabet=alphabet, special_tokens=list(special), **options)

    own = normalizers.Sequence([Lowercase(), NFC(), Replace(Regex(r"\s+"), " "), Strip()])
    for merges in (16384, 49408):
        trained(texts, models.BPE(), bpe(merges), own, ByteLevel(add_prefix_space=True)).save(str(folder / f"mm-{merges}.json"))
        trained(texts, models.BPE(), bpe(merges), None, ByteLevel(add_prefix_space=False)).save(str(folder / f"gpt2-{merges}.json"))
        clip = trained(
            texts, models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"), bpe(merges, end_of_word_suffix="</w>"),
            normalizers.Sequence([NFC(), Replace(Regex(r"\s+"), " "), Lowercase()]),
            pre_tokenizers.Sequence([Split(Regex(CLIP), "removed", invert=True), ByteLevel(False)]))
        content = json.loads(clip.to_str())
        vocab = content["model"]["vocab"]
        for token in [*sorted(letter + "</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]:
            vocab.setdefault(token, len(vocab))
        (folder / f"clip-{merges}.json").write_text(json.dumps(content))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained(texts, models.WordPiece(unk_token="[UNK]"),
            trainers.WordPieceTrainer(vocab_size=30_000, special_tokens=special, show_progress=False),
            BertNormalizer(), BertPreTokenizer()).save(str(folder / "bert-30000.json"))
    trained(texts, models.Unigram(),
            trainers.UnigramTrainer(vocab_size=32_000, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False),
            NFKC(), Metaspace()).save(str(folder / "unigram-32000.json"))
    trained(texts, models.Unigram(),
            trainers.UnigramTrainer(vocab_size=32_000, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False),
            Precompiled(charsmap()), pre_tokenizers.Sequence([WhitespaceSplit(), Metaspace()])).save(str(folder / "t5-32000.json"))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    # Trained word by word, and applied to whole captions, as Llama's is.
    llama = trained(texts, models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
                    trainers.BpeTrainer(vocab_size=32_000, special_tokens=tokens, show_progress=False), None, Metaspace())
    content = json.loads(llama.to_str())
    content["normalizer"] = json.loads(normalizers.Sequence([Prepend("▁"), Replace(" ", "▁")]).__getstate__())
    content["pre_tokenizer"] = None
    (folder / "llama-32000.json").write_text(json.dumps(content))


def encode(folder, name, batch):
    tokenizer = Tokenizer.from_file(str(folder / f"{name}.json"))
    lines = (folder / "captions.txt").read_text().split("\n")
    print("ready", flush=True)
    for line in sys.stdin:
        start = int(line) * batch % len(lines)
        # The fastest way that it has: no offsets.
        found = [encoding.ids for encoding in tokenizer.encode_batch_fast(lines[start : start + batch], add_special_tokens=False)]
        check = 0
        for ids in found[::1000]:
            check = zlib.crc32(",".join(map(str, ids)).encode(), check)
        print(check, flush=True)


if sys.argv[1] == "write":
    write(Path(sys.argv[2]), int(sys.argv[3]))
else:
    encode(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
