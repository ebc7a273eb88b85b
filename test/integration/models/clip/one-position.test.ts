// Features that are read at one position: the last block computes no other, and padding behind it may be left out.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clipModelSchema } from '../../../../src/config/clip.ts';
import { type Tensor, type Tensor3D, tf } from '../../../../src/engine/tfjs/tf.ts';
import {
  type BlocksSpec,
  openaiBlockSpec,
  runBlocks,
  runBlocksAt,
} from '../../../../src/models/clip/blocks.ts';
import { clipSpec, encodeText } from '../../../../src/models/clip/model.ts';
import { positionsToRead, textBatch } from '../../../../src/models/clip/text.ts';
import type { Position } from '../../../../src/nn/attention.ts';
import { causalMask, MASKED } from '../../../../src/nn/attention-mask.ts';
import {
  flatten,
  type Parameters,
  stackSpecs,
  tensorsOf,
  withTensors,
} from '../../../../src/nn/parameters.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { largestDifference, numbers, perturbed, randomTensor } from '../../../support/perturbed.ts';

const TOLERANCE = 1e-5;
const [BATCH, LENGTH, WIDTH] = [3, 7, 8];
/** Where each text of the batch ends. */
const ENDS = [2, 6, 4];

/** The position that a matrix of zeros and ones picks. */
const picked =
  (isRead: (row: number, position: number) => boolean): Position =>
  (x_BNC) => {
    const flags = Array.from({ length: BATCH * LENGTH }, (_, i) =>
      Number(isRead(Math.floor(i / LENGTH), i % LENGTH)),
    );
    return tf.matMul(tf.tensor(flags, [BATCH, 1, LENGTH]), x_BNC) as Tensor3D;
  };
const isRead = {
  first: (_row: number, position: number) => position === 0,
  end: (row: number, position: number) => position === ENDS[row],
};
/** The causal mask at the ends. */
const endMask = tf.tensor(
  ENDS.flatMap((end) => Array.from({ length: LENGTH }, (_, position) => (position > end ? MASKED : 0))),
  [BATCH, 1, 1, LENGTH],
);

describe('the blocks at one position give what the whole blocks give there', () => {
  const cases = {
    'the first position, of all': { position: picked(isRead.first), mask: undefined, own: undefined },
    'the end of each text, causal': { position: picked(isRead.end), mask: causalMask(LENGTH), own: endMask },
  };
  for (const layers of [1, 2])
    for (const layerScale of [undefined, 0.7])
      for (const [name, { position, mask, own }] of Object.entries(cases))
        test(`${name}, ${layers} layers, layer scale ${layerScale}`, () => {
          const shape = { width: WIDTH, layers, mlpRatio: 4, layerScale };
          const spec: BlocksSpec = stackSpecs('block', layers, () => openaiBlockSpec(shape));
          const drawn = perturbed(spec, 3);
          const names = flatten(spec).map(([path]) => path);
          const x = randomTensor([BATCH, LENGTH, WIDTH], new RandomStream('x'));
          const factor = randomTensor([BATCH, WIDTH], new RandomStream('factor'));
          const results = (run: (p: Parameters<BlocksSpec>, x_BND: Tensor3D) => Tensor): number[][] => {
            const f = (...[stream, ...tensors]: Tensor[]): Tensor =>
              tf.sum(tf.mul(run(withTensors(drawn, tensors), stream as Tensor3D), factor));
            const inputs = [x, ...tensorsOf(drawn)];
            return [numbers(f(...inputs)), ...tf.grads(f)(inputs).map(numbers)];
          };
          const options = { heads: 2, mask, recompute: 'none' } as const;
          const whole = results((p, stream) => tf.squeeze(position(runBlocks(p, stream, options)), [1]));
          const atOne = results((p, stream) => runBlocksAt(position, p, stream, options, own));
          assert.equal(whole.length, names.length + 2);
          for (const [i, expected] of whole.entries()) {
            const scale = Math.max(1, ...expected.map(Math.abs));
            const difference = largestDifference(atOne[i]!, expected) / scale;
            assert.ok(difference < TOLERANCE, `${['value', 'x', ...names][i]}: ${difference}`);
          }
        });
});

describe('texts are read as far as they have to be', () => {
  const text = { vocabulary: 50, length: 40, width: WIDTH, layers: 2, heads: 2 };
  const image = { size: 8, patch: 4, width: WIDTH, layers: 1, heads: 2 };
  const published = clipModelSchema.parse({ embedding: 5, image, text });
  const of = (length: number): number[] => [48, ...Array.from({ length: length - 2 }, (_, i) => i + 1), 49];

  test('in 16 positions, twice as many, and so on up to all', () => {
    const read = (...lengths: number[]): number => positionsToRead(lengths.map(of), published);
    assert.deepEqual(
      [read(3), read(3, 16), read(17, 3), read(32), read(33), read(40)],
      [16, 16, 32, 32, 40, 40],
    );
  });

  test('a feature does not depend on it', () => {
    const spec = clipSpec(published);
    const p = perturbed(spec, 5);
    const features = (length?: number): number[] => {
      const batch = textBatch([of(5), of(16), of(9)], published, length);
      const [ids, mask] = [batch.text, batch.mask].map(({ data, shape, dtype }) =>
        tf.tensor(data as Int32Array, [...shape], dtype as 'int32'),
      );
      return numbers(encodeText(p.text, ids as never, mask as never, published));
    };
    const difference = largestDifference(features(16), features());
    assert.ok(difference < TOLERANCE, `${difference}`);
  });

  test('whole where padding is attended to, or read', () => {
    const others = [
      { embedding: 5, image, text: { ...text, causal: false } },
      { embedding: 5, image, text: { ...text, pool: 'last' } },
      {
        architecture: 'dalle-pytorch',
        embedding: 5,
        image: { ...image, mean: [0, 0, 0], stddev: [1, 1, 1] },
        text,
      },
    ];
    for (const other of others)
      assert.equal(positionsToRead([of(5)], clipModelSchema.parse(other)), text.length);
  });
});
