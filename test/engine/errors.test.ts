// Errors name the op and the line of the model. This file is the model: each test looks for its own line.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gather } from '../../src/engine/ops/gather.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { executeOp } from '../../src/engine/tfjs/execute.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { DataError } from '../../src/util/errors.ts';
import { floats, integers } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

const file = fileURLToPath(import.meta.url);
const source = readFileSync(file, 'utf8').split('\n');

/** Checks that the error mentions `words` and this file's line that ends in the comment `// MARK`. */
function names(mark: string, ...words: string[]): (error: Error) => true {
  const line = source.findIndex((text) => text.endsWith(`// ${mark}`)) + 1;
  assert.ok(line > 0, `a line is marked ${mark}`);
  return ({ message }) => {
    for (const word of [...words, `${file}:${line}:`]) {
      assert.ok(message.includes(word), `${JSON.stringify(message)} names ${word}`);
    }
    return true;
  };
}

const table = floats([3, 2], [0, 1, 2, 3, 4, 5]);
const x_23 = floats([2, 3], [1, 2, 3, 4, 5, 6]);

describe('at graph-building time an error names the model line, for', () => {
  test('reading a value that depends on an input', async () => {
    const reading = runtime.compile('reading', ({ x }: { x: Tensor }) => {
      const sum = tf.sum(x);
      const value = sum.dataSync()[0] as number; // reads
      return { y: tf.mul(x, value) };
    });
    await assert.rejects(reading({ x: x_23 }), names('reads', 'Sum', 'at graph-building time', 'run time'));
  });

  test('shapes that do not match', async () => {
    const misfit = runtime.compile('misfit', ({ x }: { x: Tensor }) => {
      const sum = tf.add(x, tf.zeros([4])); // misfits
      return { sum };
    });
    await assert.rejects(misfit({ x: x_23 }), names('misfits', 'Add', 'must be equal, but are 3 and 4'));
  });

  test('arguments that tfjs refuses', async () => {
    const refused = runtime.compile('refused', ({ x }: { x: Tensor }) => {
      const turned = tf.transpose(x, [0, 2, 1]); // transposes
      return { turned };
    });
    await assert.rejects(
      refused({ x: x_23 }),
      names('transposes', 'Error in transpose: rank of input 2 must match'),
    );
    const without = runtime.compile('without', ({ x }: { x: Tensor }) => ({
      slope: tf.grad((y) => tf.sum(tf.greater(y, 0)))(x), // differentiates
    }));
    await assert.rejects(
      without({ x: x_23 }),
      names('differentiates', 'gradient function not found for Greater'),
    );
  });

  test('and an error that the model throws is passed unchanged', async () => {
    const wrong = new RangeError('heads must divide the width');
    const own = runtime.compile('own', (): { x: Tensor } => {
      throw wrong;
    });
    await assert.rejects(own({}), (error) => error === wrong);
  });

  test('an output shape that depends on values', async () => {
    const unknown = runtime.compile('unknown', ({ x }: { x: Tensor }) => ({
      y: executeOp('Where', [{ name: 'T', type: 4, value: 1 }], [x]), // unknown
    }));
    await assert.rejects(unknown({ x: x_23 }), names('unknown', 'Where', 'only known at run time'));
  });

  test('and an unknown op is named', async () => {
    const imaginary = runtime.compile('imaginary', ({ x }: { x: Tensor }) => ({
      y: executeOp('Wish', [], [x]),
    }));
    await assert.rejects(imaginary({ x: x_23 }), /TensorFlow 2\.\S+ has no op Wish/);
  });
});

describe('at run time an error names the model line, for', () => {
  test('an index out of range', async () => {
    const lookUp = runtime.compile('look up', ({ rows, ids }: { rows: Tensor; ids: Tensor }) => {
      const taken = gather(rows, ids); // gathers
      return { y: tf.sum(taken) };
    });
    const ids = integers([2], [1, 7]);
    await assert.rejects(
      lookUp({ rows: table, ids }),
      names('gathers', 'look up', 'GatherV2', '7 is not in [0, 3)'),
    );
    const { y } = await lookUp({ rows: table, ids: integers([2], [0, 2]) });
    assert.equal(y.data[0], 10);
  });

  test('the gradient of an op, by the line of the op', async () => {
    const ids = tf.tensor1d([1, 2], 'int32');
    const differentiate = runtime.compile('differentiate', ({ x, at }: { x: Tensor; at: Tensor }) => {
      const picky = tf.customGrad((...[input, save]) => {
        (save as unknown as (tensors: Tensor[]) => void)([at]);
        return {
          value: tf.mul(input as Tensor, 1),
          gradFunc: (dy, [saved]) => tf.mul(dy, tf.sum(tf.gather(ids, saved as Tensor))),
        };
      });
      const loss = (input: Tensor) => {
        const kept = picky(input); // differentiated
        return tf.sum(kept);
      };
      return { slope: tf.grad(loss)(x) };
    });
    const at = integers([1], [9]);
    await assert.rejects(
      differentiate({ x: x_23, at }),
      names('differentiated', 'differentiate', 'GatherV2', 'by the gradient of'),
    );
  });
});

test('an allocator without memory is an error for users, with its op and line', async () => {
  const huge = runtime.compile('huge', ({ x }: { x: Tensor }) => {
    const y = tf.broadcastTo(tf.reshape(x, [1, 1, 1]), [2 ** 17, 2 ** 17, 2 ** 10]); // grows
    return { y: tf.max(y) };
  });
  await assert.rejects(huge({ x: floats([1], [1]) }), (error) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.code, 'E_OUT_OF_MEMORY');
    return names('grows', '131072')(error);
  });
});
