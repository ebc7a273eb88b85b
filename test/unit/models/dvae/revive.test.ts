import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CodebookArrays, reviveCodes } from '../../../../src/models/dvae/revive.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const [CHANNELS, VOCABULARY, WIDTH] = [6, 12, 3];
const DEAD = [4, 9, 11];

/** Features in a few lumps, and a codebook that never chooses the dead codes. */
function example() {
  const random = new RandomStream('revive');
  const lumps = Array.from({ length: 5 }, () => Array.from({ length: CHANNELS }, () => 3 * random.normal()));
  const features = Float32Array.from(
    Array.from({ length: 200 }, (_, n) => lumps[n % 5]!.map((value) => value + random.normal())).flat(),
  );
  const book: CodebookArrays = {
    encoderWeight: Float32Array.from({ length: CHANNELS * VOCABULARY }, () => random.normal()),
    encoderBias: Float32Array.from({ length: VOCABULARY }, (_, v) => (DEAD.includes(v) ? -1e3 : 0)),
    decoderWeight: Float32Array.from({ length: VOCABULARY * WIDTH }, () => random.normal()),
  };
  return { features, book };
}

const logit = (book: CodebookArrays, h: ArrayLike<number>, v: number): number =>
  Array.from(h).reduce(
    (sum, x, c) => sum + x * book.encoderWeight[c * VOCABULARY + v]!,
    book.encoderBias[v]!,
  );

function codesOf(book: CodebookArrays, features: Float32Array): Int32Array {
  return Int32Array.from({ length: features.length / CHANNELS }, (_, n) => {
    const h = features.subarray(n * CHANNELS, (n + 1) * CHANNELS);
    const logits = Array.from({ length: VOCABULARY }, (_, v) => logit(book, h, v));
    return logits.indexOf(Math.max(...logits));
  });
}

const row = (book: CodebookArrays, v: number): number[] => [
  ...book.decoderWeight.subarray(v * WIDTH, (v + 1) * WIDTH),
];

describe('dead codes', () => {
  const { features, book } = example();
  const before = structuredClone(book);
  const codes = codesOf(book, features);
  const revived = reviveCodes(book, { features, codes }, DEAD, new RandomStream(1));
  const after = codesOf(book, features);

  test('are chosen afterwards', () => {
    assert.ok(codes.every((code) => !DEAD.includes(code)));
    assert.deepEqual(revived, DEAD);
    for (const code of DEAD) assert.ok(after.includes(code), `code ${code}`);
  });

  test('split a code: one side goes over, the other stays, and most features are decoded as before', () => {
    for (const [n, code] of after.entries()) if (code !== codes[n]) assert.ok(DEAD.includes(code));
    for (const code of DEAD) {
      const from = [...new Set(codes)].find((old) => row(before, old).join() === row(book, code).join())!;
      assert.ok(
        [...after].some((now, n) => now === code && codes[n] === from),
        `${code} takes from ${from}`,
      );
      assert.ok(
        [...after].some((now, n) => now === from && codes[n] === from),
        `${from} keeps some`,
      );
    }
    const kept = [...after].filter((code, n) => row(book, code).join() === row(before, codes[n]!).join());
    assert.ok(kept.length > 0.8 * codes.length, `${kept.length} of ${codes.length}`);
  });

  test('win by a margin at one feature, and lose by it at the mean of the code they split', () => {
    for (const code of DEAD) {
      const n = [...after.keys()].find((i) => {
        const h = features.subarray(i * CHANNELS, (i + 1) * CHANNELS);
        return Math.abs(logit(book, h, code) - logit(book, h, codes[i]!) - 2) < 1e-3;
      });
      assert.ok(n !== undefined, `a feature where ${code} wins by 2`);
      const own = [...codes.keys()].filter((i) => codes[i] === codes[n]);
      const mean = Array.from({ length: CHANNELS }, (_, c) =>
        own.reduce((sum, i) => sum + features[i * CHANNELS + c]! / own.length, 0),
      );
      assert.ok(Math.abs(logit(book, mean, codes[n]!) - logit(book, mean, code) - 2) < 1e-2);
    }
  });

  test('leave the other codes as they are', () => {
    for (let v = 0; v < VOCABULARY; v++) {
      if (DEAD.includes(v)) continue;
      assert.equal(book.encoderBias[v], before.encoderBias[v]);
      assert.deepEqual(row(book, v), row(before, v));
    }
  });
});

test('where all features are the same there is nothing to split, and nothing changes', () => {
  const { book } = example();
  const before = structuredClone(book);
  const same = { features: new Float32Array(CHANNELS * 20).fill(0.5), codes: new Int32Array(20) };
  assert.deepEqual(reviveCodes(book, same, DEAD, new RandomStream(1)), []);
  assert.deepEqual(book, before);
});
