// Loads a tokenizer of any kind from its file, recognised by its contents.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DataError } from '../util/errors.ts';
import { readError } from '../util/files.ts';
import { BpeTokenizer } from './bpe.ts';
import { ClipTokenizer } from './clip.ts';
import { isClipTokenizer } from './clip-json.ts';
import { HuggingFaceTokenizer } from './hugging-face/tokenizer.ts';
import { isVocabulary, wordPieceJson } from './hugging-face/vocabulary-file.ts';
import { isMinDalleJson, MinDalleTokenizer } from './min-dalle.ts';
import { isSentencePiece, sentencePieceJson } from './sentence-piece.ts';
import type { Tokenizer } from './tokenizer.ts';
import { isTrained } from './tokenizer-json.ts';
import { isYouTokenToMe, isYouTokenToMeJson, YouTokenToMeTokenizer } from './youtokentome.ts';

const FIX =
  "name a tokenizer.json, CLIP's merges file (.txt, .txt.gz), BERT's vocab.txt, a Unigram .model of SentencePiece or a model of YouTokenToMe";

const unusable = (what: string, where: string, fix = FIX, cause?: unknown): DataError =>
  new DataError(what, { code: 'E_TOKENIZER_UNUSABLE', where, fix, cause });

/**
 * Reads a tokenizer: a tokenizer.json of mm train-bpe or of Hugging Face's tokenizers, CLIP's merges file, BERT's
 * vocab.txt with its tokenizer_config.json, or a model of SentencePiece or YouTokenToMe. Throws DataError.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw readError(cause, path, 'tokenizer', FIX);
  });
  if (isSentencePiece(bytes)) return HuggingFaceTokenizer.fromJSON(sentencePieceJson(bytes, path), path);
  let text: string;
  try {
    text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (cause) {
    throw unusable('its compression is damaged', path, 'fetch the file again', cause);
  }
  if (!/^\s*\{/.test(text)) return fromText(text, path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unusable('the tokenizer is not JSON', path, FIX, cause);
  }
  if (isYouTokenToMeJson(value)) return YouTokenToMeTokenizer.fromJSON(value, path);
  if (isMinDalleJson(value)) return MinDalleTokenizer.fromJSON(value, path);
  if (isTrained(value)) return BpeTokenizer.fromJSON(value, path);
  return isClipTokenizer(value)
    ? ClipTokenizer.fromJSON(value, path)
    : HuggingFaceTokenizer.fromJSON(value, path);
}

async function fromText(text: string, path: string): Promise<Tokenizer> {
  if (isYouTokenToMe(text)) return YouTokenToMeTokenizer.fromModel(text, path);
  if (isVocabulary(text)) {
    const config = await readFile(join(dirname(path), 'tokenizer_config.json'), 'utf8').catch(
      () => undefined,
    );
    return HuggingFaceTokenizer.fromJSON(wordPieceJson(text, config, path), path);
  }
  if (text.startsWith('version https://git-lfs'))
    throw unusable('a Git LFS pointer, not the file itself', path, 'fetch the file: git lfs pull');
  if (/^\s*</.test(text)) throw unusable('a web page', path, 'download the file itself');
  if (text.includes('\0')) throw unusable('a binary file of no known kind', path);
  if (!/^.*#version/.test(text))
    throw unusable("of no known kind of tokenizer: CLIP's merges begin with #version", path);
  return ClipTokenizer.fromMerges(text, path);
}
