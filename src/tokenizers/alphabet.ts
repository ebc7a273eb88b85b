// GPT-2's byte alphabet: a printable character for each byte, so that tokens are readable in JSON and have no spaces.

function isPrintable(byte: number): boolean {
  return (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
}

/** The character of each byte: the byte itself where it is printable, else the next free one from U+0100 on. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
})();

const BYTES: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

/** The alphabet in code point order, which is the order of the first 256 ids. */
export const ALPHABET: readonly string[] = BYTE_CHARACTERS.toSorted();

/** The bytes of a token; undefined when a character is not in the alphabet. */
export function tokenBytes(token: string): Uint8Array | undefined {
  const bytes = Array.from(token, (character) => BYTES.get(character));
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[]);
}
