// Loads a tokenizer of any kind from its file.

import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { DataError } from '../util/errors.ts';
import { readError } from '../util/files.ts';
import { BpeTokenizer } from './bpe.ts';
import { ClipTokenizer, isClipTokenizer } from './clip.ts';
import type { Tokenizer } from './tokenizer.ts';
import { isWordPieceTokenizer, WordPieceTokenizer } from './word-piece.ts';

const FIX =
  "name a tokenizer.json of mm train-bpe, of a CLIP or of an uncased BERT, or CLIP's merges file (.txt, .txt.gz)";

/** Reads a tokenizer.json of mm train-bpe, of a CLIP or of BERT, or CLIP's merges file. Throws DataError. */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw readError(cause, path, 'tokenizer', FIX);
  });
  try {
    const text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
    if (!/^\s*\{/.test(text)) return ClipTokenizer.fromMerges(text, path);
    const value: unknown = JSON.parse(text);
    if (isWordPieceTokenizer(value)) return WordPieceTokenizer.fromJSON(value, path);
    return isClipTokenizer(value) ? ClipTokenizer.fromJSON(value, path) : BpeTokenizer.fromJSON(value, path);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError('not a tokenizer of a known kind', {
      code: 'E_TOKENIZER_UNUSABLE',
      where: path,
      fix: FIX,
      cause,
    });
  }
}
