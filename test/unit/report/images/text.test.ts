import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { GLYPHS } from '../../../../src/report/images/font.ts';
import { escapeMarkup, foldText, textSvg, textWidth, wrapText } from '../../../../src/report/images/text.ts';

async function inked(line: string, size = 40): Promise<{ data: Buffer; left: number; right: number }> {
  const width = 200;
  const text = textSvg(line, { x: 20, baseline: 50, size, color: '#000', anchor: 'start' });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="80">${text}</svg>`;
  const data = await sharp(Buffer.from(svg)).ensureAlpha().extractChannel(3).raw().toBuffer();
  const columns = Array.from({ length: width }, (_, x) => x).filter((x) =>
    Array.from({ length: 80 }, (_, y) => data[y * width + x]).some((alpha) => alpha! > 64),
  );
  return { data, left: columns[0] ?? -1, right: columns.at(-1) ?? -1 };
}

test('every printable ASCII character has a glyph, and no two look alike', async () => {
  const seen = new Map<string, string>();
  for (let code = 33; code < 127; code++) {
    const character = String.fromCharCode(code);
    assert.ok(Object.hasOwn(GLYPHS, character), `no glyph for ${character}`);
    const { data, left, right } = await inked(character);
    assert.ok(left >= 0, `${character} is empty`);
    assert.ok(left >= 20 && right < 20 + textWidth(character, 40) + 1, `${character} leaves its box`);
    const look = data.toString('latin1');
    // I and l are both a plain stroke, as in many sans-serif typefaces; so is the taller |.
    assert.ok(!seen.has(look) || character === 'l', `${character} looks like ${seen.get(look)}`);
    seen.set(look, character);
  }
});

test('lines fit the width, and joined again give the text', () => {
  const text = 'a small red circle left of a blue square with an extraordinarilylongunbrokenword at its end';
  for (const width of [60, 100, 200, 400]) {
    const lines = wrapText(text, width, 13, 99);
    for (const line of lines) assert.ok(textWidth(line, 13) <= width, `${line} is wider than ${width}`);
    assert.equal(lines.join('').replaceAll(' ', ''), text.replaceAll(' ', ''));
  }
  assert.deepEqual(wrapText('', 100, 13, 3), []);
  assert.deepEqual(wrapText('   ', 100, 13, 3), []);
});

test('text of too many lines ends in an ellipsis, within the width', () => {
  const lines = wrapText('one two three four five six seven eight nine ten eleven twelve', 80, 13, 2);
  assert.equal(lines.length, 2);
  assert.match(lines[1]!, /…$/);
  for (const line of lines) assert.ok(textWidth(line, 13) <= 80);
});

test('accents and typographic characters fold to those of the typeface; other scripts stay', () => {
  assert.equal(foldText(' Café  “naïve”\n’n’ '), 'Cafe "naive" \'n\'');
  assert.equal(foldText('دائرة 🙂'), 'دائرة 🙂');
  assert.match(
    textSvg('دائرة <b>', { x: 0, baseline: 0, size: 13, color: '#000' }),
    /^<text [^>]*>دائرة &lt;b&gt;<\/text>$/,
  );
});

test('escaped text has no markup and no character that XML forbids', () => {
  assert.equal(escapeMarkup(`<a b="c" d='e'>&`), '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;');
  assert.equal(escapeMarkup('a\u0000\u0008\ud800b\uffff🙂\n'), 'ab🙂\n');
});
