// The .model files of SentencePiece: a protocol buffer of pieces with scores, and of a normalizer. Unigram models become
// a tokenizer.json with the same ids: in the layout of T5, which is that of the file, or of XLM-RoBERTa.

import { DataError } from '../util/errors.ts';
import { specialToken } from './hugging-face/added-tokens.ts';

const UNIGRAM = 1;
const TYPES: Readonly<Record<number, string>> = { 2: 'byte-pair', 3: 'word', 4: 'character' };
/** The file's name where ids are those of fairseq: four special tokens, then the pieces without theirs. */
const FAIRSEQ = /(^|[/\\])sentencepiece\.bpe\.model$/;

const SPACE = '▁';
const replaced = (Regex: string, content: string) => ({ type: 'Replace', pattern: { Regex }, content });

type Value = number | Buffer;

/** Fields of a message, in order: number, and a value of its wire type. Throws RangeError where it is damaged. */
function* fields(bytes: Buffer): Generator<readonly [field: number, value: Value]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    // A negative number has ten bytes; its value is not needed.
    while (bytes.readUInt8(at++) >= 0x80);
    return -1;
  };
  while (at < bytes.length) {
    const key = varint();
    const field = Math.floor(key / 8);
    const size = { 1: 8, 5: 4 }[key % 8] ?? 0;
    if (key % 8 === 0) yield [field, varint()];
    else {
      if (key % 8 !== 2 && size === 0) throw new RangeError(`wire type ${key % 8}`);
      const length = size || varint();
      if (length < 0 || length > bytes.length - at) throw new RangeError(`${length} bytes`);
      yield [field, bytes.subarray(at, at + length)];
      at += length;
    }
  }
}

/** Types of pieces that are always whole. */
const USER_DEFINED = 4;

interface Piece {
  readonly text: string;
  readonly type?: number;
  readonly score: number;
}

interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly type: number;
  readonly byteFallback: boolean;
  readonly charsmap: Buffer;
  readonly addPrefix: boolean;
  readonly removeSpaces: boolean;
  readonly escapeSpaces: boolean;
}

/** The value of a field in a message. */
const valueIn = (message: Buffer, wanted: number): Value | undefined =>
  [...fields(message)].find(([field]) => field === wanted)?.[1];

function parse(bytes: Buffer): SentencePieceModel {
  const pieces: Piece[] = [];
  let [type, byteFallback] = [UNIGRAM, false];
  let normalizer: Buffer | undefined;
  for (const [field, value] of fields(bytes)) {
    if (!Buffer.isBuffer(value)) continue;
    if (field === 1) {
      const [text, score] = [valueIn(value, 1), valueIn(value, 2)];
      pieces.push({
        text: Buffer.isBuffer(text) ? text.toString('utf8') : '',
        score: Buffer.isBuffer(score) ? score.readFloatLE(0) : 0,
        type: Number(valueIn(value, 3) ?? 1),
      });
    }
    if (field === 2) {
      type = Number(valueIn(value, 3) ?? UNIGRAM);
      byteFallback = valueIn(value, 35) === 1;
    }
    if (field === 3) normalizer = value;
  }
  // They come last: without the normalizer, the file was cut.
  if (!normalizer) throw new RangeError('no normalizer');
  const charsmap = valueIn(normalizer, 2);
  return {
    pieces,
    type,
    byteFallback,
    charsmap: Buffer.isBuffer(charsmap) ? charsmap : Buffer.alloc(0),
    addPrefix: valueIn(normalizer, 3) !== 0,
    removeSpaces: valueIn(normalizer, 4) !== 0,
    escapeSpaces: valueIn(normalizer, 5) !== 0,
  };
}

/** Whether bytes begin like such a file: a first piece of a few bytes, with a score and perhaps a type. */
export function isSentencePiece(bytes: Buffer): boolean {
  const [piece, size = 0, text, length = 0] = bytes;
  return piece === 0x0a && text === 0x0a && (size === length + 7 || size === length + 9);
}

/**
 * The tokenizer.json of a Unigram model.
 * @throws DataError when the file is damaged, or of another type
 */
export function sentencePieceJson(bytes: Buffer, where: string): object {
  const fail = (what: string, cause?: unknown): never => {
    throw new DataError(what, {
      code: 'E_TOKENIZER_UNUSABLE',
      where,
      fix: "name the tokenizer.json of the model; transformers' AutoTokenizer.from_pretrained(…).save_pretrained(FOLDER) writes one",
      cause,
    });
  };
  let model: SentencePieceModel;
  try {
    model = parse(bytes);
  } catch (cause) {
    return fail('a damaged model of SentencePiece', cause);
  }
  const { pieces, type, byteFallback, charsmap, addPrefix, removeSpaces, escapeSpaces } = model;
  if (type !== UNIGRAM)
    return fail(`a ${TYPES[type] ?? 'strange'} model of SentencePiece, and mm reads those of Unigram`);
  const isFairseq = FAIRSEQ.test(where);
  const special = ['<s>', '<pad>', '</s>', '<unk>'].map((text) => ({ text, score: 0 }));
  const all = isFairseq ? [...special, ...pieces.slice(3), { text: '<mask>', score: 0 }] : pieces;
  const idOf = (text: string): number => all.findIndex((piece) => piece.text === text);
  const unknown = idOf('<unk>');
  if (unknown < 0) return fail('a model of SentencePiece without <unk>');
  const named = ['<pad>', '<s>', '</s>', '<unk>', '<mask>'].filter((text) => idOf(text) >= 0);
  const whole = pieces
    .filter(({ type }) => type === USER_DEFINED)
    .map(({ text }) => text.replace(/[^\p{L}\p{N}]/gu, '\\$&'))
    .sort((a, b) => b.length - a.length);
  const around = (text: string) => [{ SpecialToken: { id: text, type_id: 0 } }];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: named.map((content) => specialToken(idOf(content), content, content === '<mask>')),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(charsmap.length > 0
          ? [{ type: 'Precompiled', precompiled_charsmap: charsmap.toString('base64') }]
          : []),
        ...(removeSpaces ? [replaced(' {2,}', ' '), replaced('\\A | \\z', '')] : []),
        ...(escapeSpaces ? [replaced(' ', SPACE)] : []),
        // A text that begins with the mark gets another one.
        ...(addPrefix ? [replaced(`\\A${SPACE}`, SPACE + SPACE)] : []),
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...(addPrefix
          ? [{ type: 'Metaspace', replacement: SPACE, prepend_scheme: 'always', split: false }]
          : []),
        ...(whole.length > 0
          ? [{ type: 'Split', pattern: { Regex: whole.join('|') }, behavior: 'Isolated', invert: false }]
          : []),
      ],
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        ...(isFairseq ? around('<s>') : []),
        { Sequence: { id: 'A', type_id: 0 } },
        ...(idOf('</s>') >= 0 ? around('</s>') : []),
      ],
    },
    decoder: { type: 'Metaspace', replacement: SPACE, prepend_scheme: 'always', split: false },
    model: {
      type: 'Unigram',
      unk_id: unknown,
      vocab: all.map(({ text, score }) => [text, score]),
      byte_fallback: byteFallback,
    },
  };
}
