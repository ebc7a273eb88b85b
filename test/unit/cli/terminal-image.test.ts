import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  imageProtocol,
  imageRows,
  imageSequence,
  TerminalImage,
} from '../../../src/cli/sample/terminal-image.ts';
import { encodePng } from '../../../src/report/images/png.ts';
import { RandomStream } from '../../../src/util/random.ts';

const ESC = '\u001b';
/** With the characters that control the terminal spelled out. */
const visible = (sequence: string): string => sequence.replaceAll(ESC, 'ESC').replaceAll('\u0007', 'BEL');

const random = new RandomStream('noise');
/** Noise, so that it takes several of kitty's commands. */
const png = await encodePng(
  Uint8Array.from({ length: 60 * 40 * 3 }, () => random.integer(256)),
  60,
  40,
);

describe('the protocol', () => {
  const terminals: [NodeJS.ProcessEnv, string | undefined][] = [
    [{ TERM: 'xterm-kitty' }, 'kitty'],
    [{ TERM: 'xterm-256color', KITTY_WINDOW_ID: '1' }, 'kitty'],
    [{ TERM: 'xterm-ghostty' }, 'kitty'],
    [{ TERM: 'xterm-256color', TERM_PROGRAM: 'iTerm.app' }, 'iterm2'],
    [{ TERM: 'xterm-256color', LC_TERMINAL: 'iTerm2' }, 'iterm2'],
    [{ TERM: 'xterm-256color', TERM_PROGRAM: 'WezTerm' }, 'iterm2'],
    [{ TERM: 'xterm-256color' }, undefined],
    [{ TERM: 'xterm-256color', TERM_PROGRAM: 'vscode' }, undefined],
    [{ TERM: 'dumb', KITTY_WINDOW_ID: '1' }, undefined],
    [{ TERM: 'tmux-256color', KITTY_WINDOW_ID: '1' }, undefined],
    [{ TERM: 'xterm-kitty', TMUX: '/tmp/tmux-0/default,1,0' }, undefined],
    [{}, undefined],
  ];
  for (const [env, protocol] of terminals)
    test(`of ${JSON.stringify(env)} is ${protocol}`, () => assert.equal(imageProtocol(env), protocol));
});

describe('an image in the terminal', () => {
  test('is a PNG in parts of at most 4096 characters for kitty, all but the last saying that more come', () => {
    const sequence = visible(imageSequence(png, 'kitty', 7));
    const parts = [...sequence.matchAll(/ESC_G([^;]*);([A-Za-z0-9+/=]*?)ESC\\/g)];
    assert.equal(parts.map(([whole]) => whole).join(''), sequence, 'and nothing else');
    assert.ok(parts.length > 2);
    const keys = parts.map(
      ([, control]) => new Map(control!.split(',').map((pair) => pair.split('=') as [string, string])),
    );
    assert.deepEqual(
      keys.map((key) => key.get('m')),
      parts.map((_, i) => (i === parts.length - 1 ? '0' : '1')),
    );
    const [first] = keys;
    assert.deepEqual(
      ['a', 'f', 'r', 'C'].map((key) => first!.get(key)),
      ['T', '100', '7', '1'],
    );
    assert.ok(parts.every(([, , data]) => data!.length <= 4096 && data!.length % 4 === 0));
    assert.deepEqual(Buffer.from(parts.map(([, , data]) => data).join(''), 'base64'), png);
  });

  test('is one sequence for iTerm2, between saving the cursor and restoring it', () => {
    const [, size, rows, data] =
      /^ESC7ESC\]1337;File=inline=1;size=(\d+);height=(\d+);preserveAspectRatio=1:([A-Za-z0-9+/=]+)BELESC8$/.exec(
        visible(imageSequence(png, 'iterm2', 9)),
      ) ?? [];
    assert.deepEqual([Number(size), Number(rows)], [png.length, 9]);
    assert.deepEqual(Buffer.from(data!, 'base64'), png);
  });

  test('fits the terminal in height and in width', async () => {
    assert.equal(imageRows(png, 200, 60), 24);
    assert.equal(imageRows(png, 200, 20), 16);
    assert.equal(imageRows(png, 30, 60), 10, '30 columns are as wide as 15 lines are high, times 40 / 60');
    assert.equal(imageRows(png, 80, 3), 1);
  });

  test('keeps its place: room is made once, then it is drawn over, and the cursor ends in the same line', () => {
    let text = '';
    const stream = { isTTY: true, columns: 80, rows: 12, write };
    function write(more: string): void {
      text += more;
    }
    const image = TerminalImage.on(stream, { TERM: 'xterm-kitty' })!;
    const drawn = imageSequence(png, 'kitty', 8);
    image.show(png);
    assert.equal(text, `\r${ESC}[K${'\n'.repeat(8)}${ESC}[8A${drawn}${ESC}[8B\r${ESC}7`);
    text = '';
    image.show(png);
    assert.equal(text, `\r${ESC}[K${ESC}[8A${drawn}${ESC}[8B\r${ESC}7`);
  });

  test('is not shown where the stream is no terminal', () => {
    const stream = { isTTY: false, write: () => assert.fail() };
    assert.equal(TerminalImage.on(stream, { TERM: 'xterm-kitty' }), undefined);
  });
});
