// Unicode's list of emoji, emoji-test.txt: `CODE POINTS ; STATUS # EMOJI VERSION NAME` on a line.

import { DataError } from '../../util/errors.ts';

export interface Emoji {
  readonly text: string;
  /** Its code points, such as 1f469-200d-1f680. */
  readonly stem: string;
  /** Short name, such as "woman astronaut". */
  readonly name: string;
}

const LINE = /^(?<points>[\dA-F ]+?)\s*; fully-qualified\s*# \S+ E\d+\.\d+ (?<name>.+)$/;
const MAX_CODE_POINT = 0x10ffff;

/**
 * The fully qualified emoji: each one once, without the forms that leave a selector out.
 * @throws DataError when there is none
 */
export function parseEmojiList(text: string, path: string): Emoji[] {
  const emoji: Emoji[] = [];
  for (const line of text.split(/\r?\n/)) {
    const { points, name } = LINE.exec(line)?.groups ?? {};
    if (points === undefined || name === undefined) continue;
    const codes = points.split(' ').map((point) => Number.parseInt(point, 16));
    if (codes.some((code) => !(code <= MAX_CODE_POINT))) continue;
    emoji.push({
      text: String.fromCodePoint(...codes),
      stem: codes.map((code) => code.toString(16)).join('-'),
      name: name.trim(),
    });
  }
  if (emoji.length > 0) return emoji;
  throw new DataError("no emoji in the list; it is read as Unicode's emoji-test.txt", {
    code: 'E_NO_EMOJI',
    where: path,
    fix: 'take it from the package unicode-data, or from unicode.org/Public/emoji',
  });
}
