// Images in terminals that can show them, by kitty's graphics protocol (sw.kovidgoyal.net/kitty/graphics-protocol) or
// iTerm2's inline images (iterm2.com/documentation-images.html). Each image replaces the last one, above the progress bar.

import { pngSize } from '../../report/images/png.ts';

export type ImageProtocol = 'kitty' | 'iterm2';

/** The protocol of the terminal, by its environment variables; undefined for none, and inside multiplexers. */
export function imageProtocol(env: NodeJS.ProcessEnv): ImageProtocol | undefined {
  const { TERM = '', TERM_PROGRAM = '', LC_TERMINAL = '' } = env;
  // tmux and screen print the sequences as text, and inherit the variables of the outer terminal.
  if (env.TMUX !== undefined || env.STY !== undefined || /^(tmux|screen|dumb)/.test(TERM)) return undefined;
  if (env.KITTY_WINDOW_ID !== undefined || TERM === 'xterm-kitty') return 'kitty';
  if (TERM === 'xterm-ghostty' || TERM_PROGRAM === 'ghostty') return 'kitty';
  if (TERM_PROGRAM === 'iTerm.app' || LC_TERMINAL === 'iTerm2' || TERM_PROGRAM === 'WezTerm') return 'iterm2';
  return undefined;
}

const ESC = '\u001b';
/** Base64 characters in a command of kitty's protocol. */
const CHUNK_LENGTH = 4096;
/** Kitty replaces the last image of this number. */
const IMAGE_ID = 7368;
/** Height of a character cell over its width, about. */
const CELL_ASPECT = 2;
const MAX_ROWS = 24;

/** The sequence that shows a PNG at the cursor, `rows` lines high, and leaves the cursor where it was. */
export function imageSequence(png: Uint8Array, protocol: ImageProtocol, rows: number): string {
  const data = Buffer.from(png).toString('base64');
  if (protocol === 'iterm2') {
    const file = `File=inline=1;size=${png.length};height=${rows};preserveAspectRatio=1:${data}`;
    return `${ESC}7${ESC}]1337;${file}\u0007${ESC}8`;
  }
  let sequence = '';
  for (let at = 0; at < data.length; at += CHUNK_LENGTH) {
    const more = at + CHUNK_LENGTH < data.length ? 1 : 0;
    // Transmit and show (a=T) a PNG (f=100), keep the cursor (C=1), send no answer (q=2).
    const control = at === 0 ? `a=T,f=100,i=${IMAGE_ID},p=1,r=${rows},C=1,q=2,m=${more}` : `m=${more}`;
    sequence += `${ESC}_G${control};${data.slice(at, at + CHUNK_LENGTH)}${ESC}\\`;
  }
  return sequence;
}

/** Lines of an image: as many as fit the terminal's width, and fewer than the terminal has. */
export function imageRows(png: Uint8Array, columns: number, lines: number): number {
  const { width, height } = pngSize(png);
  const byWidth = Math.floor((columns * height) / (width * CELL_ASPECT));
  return Math.max(1, Math.min(MAX_ROWS, byWidth, lines - 4));
}

/** The part of a terminal's stream that is used. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** An image above the cursor's line. */
export class TerminalImage {
  readonly #stream: TerminalStream;
  readonly #protocol: ImageProtocol;
  #rows = 0;

  private constructor(stream: TerminalStream, protocol: ImageProtocol) {
    this.#stream = stream;
    this.#protocol = protocol;
  }

  /** Undefined where the stream is no terminal, or a terminal that cannot show images. */
  static on(stream: TerminalStream, env: NodeJS.ProcessEnv): TerminalImage | undefined {
    const protocol = stream.isTTY ? imageProtocol(env) : undefined;
    return protocol && new TerminalImage(stream, protocol);
  }

  /** Shows the image instead of the last one. */
  show(png: Uint8Array): void {
    // Some terminals report 0 for an unknown size.
    const [columns, lines] = [this.#stream.columns || 80, this.#stream.rows || 24];
    let sequence = `\r${ESC}[K`;
    if (this.#rows === 0) {
      this.#rows = imageRows(png, columns, lines);
      // Makes room first, so that the terminal does not scroll while it shows the image.
      sequence += '\n'.repeat(this.#rows);
    }
    const image = imageSequence(png, this.#protocol, this.#rows);
    // Saves the cursor at the end too: a progress bar that stops restores it.
    this.#stream.write(`${sequence}${ESC}[${this.#rows}A${image}${ESC}[${this.#rows}B\r${ESC}7`);
  }
}
