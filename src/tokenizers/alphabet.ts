// GPT-2's byte alphabet: every byte has a printable character, so that tokens are readable in JSON and hold no space.

function isPrintable(byte: number): boolean {
  return (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
}

/** The character of each byte: itself where it is printable, else the next one from U+0100 on. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
})();

const BYTES: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

/** The alphabet in the order of its code points, which is the order of the first 256 ids. */
export const ALPHABET: readonly string[] = BYTE_CHARACTERS.toSorted();

/** The bytes of a token; undefined when a character is not of the alphabet. */
export function tokenBytes(token: string): Uint8Array | undefined {
  const bytes = Array.from(token, (character) => BYTES.get(character));
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[]);
}
