// Images in the terminal itself, where it can show them: by kitty's graphics protocol
// (sw.kovidgoyal.net/kitty/graphics-protocol) or iTerm2's inline images (iterm2.com/documentation-images.html). The
// image stays in its place above the progress bar and is drawn over.

import { pngSize } from '../../report/images/png.ts';

export type ImageProtocol = 'kitty' | 'iterm2';

/** The protocol that the terminal understands by what it says of itself; undefined for none, inside multiplexers too. */
export function imageProtocol(env: NodeJS.ProcessEnv): ImageProtocol | undefined {
  const { TERM = '', TERM_PROGRAM = '', LC_TERMINAL = '' } = env;
  // tmux and screen pass the sequences on as text, and hand the variables of the outer terminal down.
  if (env.TMUX !== undefined || env.STY !== undefined || /^(tmux|screen|dumb)/.test(TERM)) return undefined;
  if (env.KITTY_WINDOW_ID !== undefined || TERM === 'xterm-kitty') return 'kitty';
  if (TERM === 'xterm-ghostty' || TERM_PROGRAM === 'ghostty') return 'kitty';
  if (TERM_PROGRAM === 'iTerm.app' || LC_TERMINAL === 'iTerm2' || TERM_PROGRAM === 'WezTerm') return 'iterm2';
  return undefined;
}

const ESC = '\u001b';
/** Base64 characters of one command of kitty's. */
const CHUNK = 4096;
/** Kitty puts another image of this number in the place of the last one. */
const IMAGE_ID = 7368;
/** A character cell is about twice as high as it is wide. */
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
  for (let at = 0; at < data.length; at += CHUNK) {
    const more = at + CHUNK < data.length ? 1 : 0;
    // Transmit and show (a=T) a PNG (f=100), the cursor kept (C=1), without an answer (q=2).
    const control = at === 0 ? `a=T,f=100,i=${IMAGE_ID},p=1,r=${rows},C=1,q=2,m=${more}` : `m=${more}`;
    sequence += `${ESC}_G${control};${data.slice(at, at + CHUNK)}${ESC}\\`;
  }
  return sequence;
}

/** Lines for an image: as many as its width leaves in the terminal's, and less than the terminal has. */
export function imageRows(png: Uint8Array, columns: number, lines: number): number {
  const { width, height } = pngSize(png);
  const byWidth = Math.floor((columns * height) / (width * CELL_ASPECT));
  return Math.max(1, Math.min(MAX_ROWS, byWidth, lines - 4));
}

/** What of a terminal's stream is needed. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** An image above the line that the cursor is in. */
export class TerminalImage {
  readonly #stream: TerminalStream;
  readonly #protocol: ImageProtocol;
  #rows = 0;

  private constructor(stream: TerminalStream, protocol: ImageProtocol) {
    this.#stream = stream;
    this.#protocol = protocol;
  }

  /** Undefined where the stream is no terminal, or one that cannot show images. */
  static on(stream: TerminalStream, env: NodeJS.ProcessEnv): TerminalImage | undefined {
    const protocol = stream.isTTY ? imageProtocol(env) : undefined;
    return protocol && new TerminalImage(stream, protocol);
  }

  /** Shows the image, in the place of the last one. */
  show(png: Uint8Array): void {
    // Some terminals say 0 for a size that they do not know.
    const [columns, lines] = [this.#stream.columns || 80, this.#stream.rows || 24];
    let sequence = `\r${ESC}[K`;
    if (this.#rows === 0) {
      this.#rows = imageRows(png, columns, lines);
      // Room first, or the terminal would scroll while it draws.
      sequence += '\n'.repeat(this.#rows);
    }
    const drawn = imageSequence(png, this.#protocol, this.#rows);
    // Saved at the end too: a progress bar that stops goes back to where the cursor was saved last.
    this.#stream.write(`${sequence}${ESC}[${this.#rows}A${drawn}${ESC}[${this.#rows}B\r${ESC}7`);
  }
}
