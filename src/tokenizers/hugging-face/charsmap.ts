// SentencePiece's table of replaced characters (precompiled_charsmap): a double-array trie of UTF-8 strings, and the
// strings they become. Applied as Hugging Face's tokenizers does, to whole graphemes first, then to each character; or as
// SentencePiece itself, to the longest string at each place.

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });
/** Bytes from which on a grapheme is only looked up by its characters. */
const MAX_GRAPHEME_BYTES = 6;
/** Characters and words whose replacement is cached. */
const MAX_CACHED = 2 ** 15;
const MAX_CACHED_LENGTH = 32;
/** What may be one grapheme with a neighbour. Finding graphemes takes long, and most texts have none of several characters. */
const COMBINING =
  /[\p{M}\p{Cf}\p{Regional_Indicator}\p{Emoji_Modifier}\r\u0d4e\u0e33\u0eb3\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff\uff9e\uff9f\u{111c2}\u{111c3}\u{1193f}\u{11941}\u{11a3a}\u{11a84}-\u{11a89}\u{11d46}\u{11f02}]/u;
/** No grapheme goes on over a space. */
const BEFORE_SPACE = /(?= )/;

interface Match {
  /** In bytes. */
  readonly length: number;
  readonly replacement: string;
}

/** Bytes of a character of UTF-8, by its first one. */
const widthOf = (first: number): number =>
  1 + Number(first >= 0xc0) + Number(first >= 0xe0) + Number(first >= 0xf0);

export class Charsmap {
  readonly #trie: Uint32Array;
  readonly #replacements: Buffer;
  readonly #known = new Map<string, string>();

  private constructor(trie: Uint32Array, replacements: Buffer) {
    this.#trie = trie;
    this.#replacements = replacements;
  }

  /** Reads a table: bytes of the trie as a uint32, the trie, the replacements; undefined when it is damaged. */
  static read(bytes: Buffer): Charsmap | undefined {
    if (bytes.length < 8) return undefined;
    const size = bytes.readUInt32LE(0);
    if (size === 0 || size % 4 !== 0 || size > bytes.length - 4) return undefined;
    const trie = Uint32Array.from({ length: size / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
    return new Charsmap(trie, bytes.subarray(4 + size));
  }

  apply(text: string): string {
    let result = '';
    if (!COMBINING.test(text)) for (const character of text) result += this.#cached(character);
    else for (const run of text.split(BEFORE_SPACE)) result += this.#cached(run);
    return result;
  }

  /** As SentencePiece does (normalizer.cc, NormalizePrefix). */
  applyLongest(text: string): string {
    const bytes = Buffer.from(text, 'utf8');
    const parts: (string | Buffer)[] = [];
    for (let at = 0; at < bytes.length; ) {
      let longest: Match | undefined;
      for (const match of this.#matches(bytes, at)) longest = match;
      const width = longest ? longest.length : widthOf(bytes[at] as number);
      parts.push(longest?.replacement ?? bytes.subarray(at, at + width));
      at += width;
    }
    return parts.map((part) => (typeof part === 'string' ? part : part.toString('utf8'))).join('');
  }

  #cached(run: string): string {
    const known = this.#known.get(run);
    if (known !== undefined) return known;
    let result = '';
    for (const { segment } of graphemes.segment(run)) result += this.#grapheme(segment);
    if (this.#known.size < MAX_CACHED && run.length <= MAX_CACHED_LENGTH) this.#known.set(run, result);
    return result;
  }

  #grapheme(segment: string): string {
    const whole = Buffer.byteLength(segment) < MAX_GRAPHEME_BYTES ? this.#replacement(segment) : undefined;
    if (whole !== undefined) return whole;
    return Array.from(segment, (character) => this.#replacement(character) ?? character).join('');
  }

  /** What the shortest prefix in the trie becomes; undefined without one. */
  #replacement(text: string): string | undefined {
    for (const { replacement } of this.#matches(Buffer.from(text, 'utf8'), 0)) return replacement;
    return undefined;
  }

  /** The strings of the trie that begin at a byte, the shortest first. */
  *#matches(bytes: Buffer, from: number): Generator<Match> {
    const unit = (at: number): number => this.#trie[at] ?? 0;
    const offset = (value: number): number => (value >>> 10) << ((value & 0x200) >>> 6);
    let node = offset(unit(0));
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === 0) return;
      node ^= byte;
      const value = unit(node);
      if ((value & 0x800000ff) >>> 0 !== byte) return;
      node ^= offset(value);
      if ((value & 0x100) === 0) continue;
      const start = unit(node) & 0x7fffffff;
      const end = this.#replacements.indexOf(0, start);
      const replacement = this.#replacements.toString('utf8', start, end < 0 ? undefined : end);
      yield { length: at + 1 - from, replacement };
    }
  }
}
