import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TensorSource } from '../../../src/checkpoint/safetensors.ts';
import { clipModelSchema } from '../../../src/config/clip.ts';
import { huggingFaceRules, openaiRules } from '../../../src/convert/clip/names.ts';
import { renameBack } from '../../../src/convert/inverse.ts';
import { layer, type Rule, rename } from '../../../src/convert/rules.ts';
import { externalTensor, type StateDict } from '../../../src/convert/tensors.ts';
import { clipSpec } from '../../../src/models/clip/model.ts';
import { flatten } from '../../../src/nn/parameters.ts';
import { sizeOf } from '../../../src/util/shape.ts';

const source = (shape: readonly number[], first = 0): TensorSource => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: sizeOf(shape) }, (_, i) => first + i),
});

const read = async ({ data }: TensorSource) => [...(typeof data === 'function' ? await data() : data)];

/** Sources as tensors of another program. */
const external = (tensors: ReadonlyMap<string, TensorSource>): StateDict =>
  new Map(
    Array.from(tensors, ([name, one]) => [
      name,
      externalTensor(one.dtype, one.shape, async () => ({
        dtype: one.dtype,
        shape: one.shape,
        data: typeof one.data === 'function' ? await one.data() : one.data,
      })),
    ]),
  );

const model = clipModelSchema.parse({
  embedding: 6,
  image: { size: 8, patch: 4, width: 8, layers: 2, heads: 2 },
  text: { vocabulary: 9, length: 5, width: 4, layers: 1, heads: 1 },
});
const resnet = clipModelSchema.parse({
  embedding: 6,
  image: { tower: 'resnet', size: 32, width: 4, blocks: [1, 1, 1, 1], heads: 2 },
  text: { vocabulary: 9, length: 5, width: 4, layers: 1, heads: 1 },
});

for (const [name, config, rules] of [
  ["Hugging Face's, which has three matrices where mm has one", model, huggingFaceRules(model)],
  ["OpenAI's", model, openaiRules(model)],
  ["OpenAI's of a ResNet, with kernels of four axes", resnet, openaiRules(resnet)],
] as const)
  test(`rules back and forth give every tensor again: ${name}`, async () => {
    const ours = new Map(
      flatten(clipSpec(config)).map(([key, { shape }], i) => [key, source(shape, 1000 * i)]),
    );
    const { found, unknown } = rename(external(renameBack(ours, rules)), rules, 'here');
    assert.equal(unknown.size, 0);
    assert.deepEqual([...found.keys()].sort(), [...ours.keys()].sort());
    for (const [key, one] of ours) {
      assert.deepEqual(found.get(key)!.shape, one.shape, key);
      assert.deepEqual(await read(found.get(key)!), await read(one), key);
    }
  });

test('a matrix goes out with its outputs first, and a patch as a square', async () => {
  const rules: Rule[] = [
    ['a', 'x', 'linear'],
    ['b', 'y', 'patch'],
  ];
  const made = renameBack(
    new Map([
      ['a', source([2, 3])],
      ['b', source([12, 2])],
    ]),
    rules,
  );
  assert.deepEqual(made.get('x')!.shape, [3, 2]);
  assert.deepEqual(await read(made.get('x')!), [0, 3, 1, 4, 2, 5]);
  assert.deepEqual(made.get('y')!.shape, [2, 3, 2, 2]);
});

test('parts of a tensor there are joined by their rows, whatever the order of the rules', async () => {
  const rules = [...layer('last', 'head', 'linear', [[2, 1]]), ...layer('first', 'head', 'linear', [[0, 2]])];
  const ours = new Map(
    [['last', 1] as const, ['first', 2] as const].flatMap(([name, outputs]) => [
      [`${name}.weight`, source([2, outputs], 10 * outputs)] as const,
      [`${name}.bias`, source([outputs], 100 * outputs)] as const,
    ]),
  );
  const made = renameBack(ours, rules);
  assert.deepEqual(await read(made.get('head.bias')!), [200, 201, 100]);
  assert.deepEqual(made.get('head.weight')!.shape, [3, 2]);
  assert.deepEqual(await read(made.get('head.weight')!), [20, 22, 21, 23, 10, 11]);
});

test('a tensor without a rule, and rows that are missing, are errors', () => {
  const rules: Rule[] = [['a', 'x', 'plain', [[1, 2]]]];
  assert.throws(() => renameBack(new Map([['b', source([1])]]), rules), /no rule has a place for b/);
  assert.throws(() => renameBack(new Map([['a', source([2, 1])]]), rules), RangeError);
  const rest = [['x', 0, source([1, 1], 7)]] as const;
  assert.deepEqual(renameBack(new Map([['a', source([2, 1])]]), rules, rest).get('x')!.shape, [3, 1]);
});

test('ranges of rows that do not follow each other go back to their places', async () => {
  const rules: Rule[] = [
    [
      'a',
      'x',
      'plain',
      [
        [2, 1],
        [0, 1],
      ],
    ],
    ['b', 'x', 'plain', [[1, 1]]],
  ];
  const made = renameBack(
    new Map([
      ['a', source([2, 1], 5)],
      ['b', source([1, 1], 9)],
    ]),
    rules,
  );
  assert.deepEqual(await read(made.get('x')!), [6, 9, 5]);
});
