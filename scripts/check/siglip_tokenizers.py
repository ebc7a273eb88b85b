"""Small tokenizers of SigLIP's kinds in transformers' folder format, made by the libraries themselves: for
open-clip-configs.py, siglip_peer.py and scripts/fixtures/siglip.py."""

import tempfile
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,!?'"


def siglip(folder, strings, ids=None):
    """SigLIP's: Unigram pieces of SentencePiece in T5's layout, in a tokenizer.json whose padding is the end token."""
    from transformers import T5TokenizerFast
    with tempfile.TemporaryDirectory() as work:
        model = sentence_piece(Path(work) / "spiece", strings)
        pieces = pieces_of(model)
    vocabulary = [(piece, score) for piece, score in pieces]
    vocabulary += [(f"word{i}", -100.0) for i in range((ids or 0) - len(vocabulary))]
    T5TokenizerFast(vocab=vocabulary, extra_ids=0, pad_token="</s>", eos_token="</s>", unk_token="<unk>").save_pretrained(folder)


def sentence_piece(prefix, strings, size=90):
    """A spiece.model trained on the strings, with the special tokens of SigLIP's; returns its path."""
    import sentencepiece
    text = Path(f"{prefix}.txt")
    text.write_text("\n".join([*strings, LETTERS, *LETTERS.split()] * 20).lower())
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(prefix), vocab_size=size, model_type="unigram", hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", normalization_rule_name="nmt_nfkc", minloglevel=2, num_threads=1,
    )
    text.unlink()
    return Path(f"{prefix}.model")


def pieces_of(model):
    import sentencepiece
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]


def gemma(folder, strings, ids=None, own=True):
    """SigLIP 2's: byte pairs of Gemma's layout with bytes to fall back on; `own` as Siglip2Tokenizer, else GemmaTokenizer."""
    from transformers import GemmaTokenizer, Siglip2Tokenizer
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"])}
    merges = []
    for token in [*(f"<0x{byte:02X}>" for byte in range(256)), *sorted(set("".join(strings).lower() + LETTERS) - {" "}), "▁"]:
        vocabulary[token] = len(vocabulary)
    for word in dict.fromkeys(" ".join(strings).lower().split()):
        left = "▁"
        for letter in word[:5]:
            if left + letter not in vocabulary:
                merges.append((left, letter))
                vocabulary[left + letter] = len(vocabulary)
            left += letter
    for i in range((ids or 0) - len(vocabulary)):
        vocabulary[f"word{i}"] = len(vocabulary)
    kind = Siglip2Tokenizer if own else GemmaTokenizer
    kind(vocab=vocabulary, merges=merges, add_bos_token=False, add_eos_token=True, padding_side="right").save_pretrained(folder)
