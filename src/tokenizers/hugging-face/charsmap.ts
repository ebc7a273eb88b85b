// SentencePiece's table of replaced characters (precompiled_charsmap): a double-array trie of UTF-8 strings, and the
// strings they become. Applied as Hugging Face's tokenizers does, to whole graphemes first, then to each character.

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });
/** Bytes from which on a grapheme is only looked up by its characters. */
const MAX_GRAPHEME_BYTES = 6;
const MAX_CACHED = 2 ** 14;

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
    for (const { segment } of graphemes.segment(text)) {
      let replaced = this.#known.get(segment);
      if (replaced === undefined) {
        replaced = this.#grapheme(segment);
        if (this.#known.size < MAX_CACHED) this.#known.set(segment, replaced);
      }
      result += replaced;
    }
    return result;
  }

  #grapheme(segment: string): string {
    const whole = Buffer.byteLength(segment) < MAX_GRAPHEME_BYTES ? this.#replacement(segment) : undefined;
    if (whole !== undefined) return whole;
    return Array.from(segment, (character) => this.#replacement(character) ?? character).join('');
  }

  /** What the shortest prefix in the trie becomes; undefined without one. */
  #replacement(text: string): string | undefined {
    const unit = (at: number): number => this.#trie[at] ?? 0;
    const offset = (value: number): number => (value >>> 10) << ((value & 0x200) >>> 6);
    let node = offset(unit(0));
    for (const byte of Buffer.from(text, 'utf8')) {
      if (byte === 0) return undefined;
      node ^= byte;
      const value = unit(node);
      if ((value & 0x800000ff) >>> 0 !== byte) return undefined;
      node ^= offset(value);
      if ((value & 0x100) === 0) continue;
      const start = unit(node) & 0x7fffffff;
      const end = this.#replacements.indexOf(0, start);
      return this.#replacements.toString('utf8', start, end < 0 ? undefined : end);
    }
    return undefined;
  }
}
