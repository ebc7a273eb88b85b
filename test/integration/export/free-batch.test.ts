// Graphs for a batch of any size: what they compute of the batch's size is what the engine records for that size.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clipModelSchema } from '../../../src/config/clip.ts';
import { dvaeModelSchema } from '../../../src/config/dvae.ts';
import { type RecordedFunction, recordFunction } from '../../../src/engine/session/graph-def.ts';
import { type Tensor, type Tensor2D, type Tensor3D, tf } from '../../../src/engine/tfjs/tf.ts';
import { Variable } from '../../../src/engine/tfjs/variable.ts';
import { BATCHES, freeBatch } from '../../../src/export/saved-model/free-batch.ts';
import { constantOf, type GraphNode, parseGraph } from '../../../src/export/saved-model/nodes.ts';
import { clipSpec, encodeText } from '../../../src/models/clip/model.ts';
import { imageTokenizer } from '../../../src/models/dvae/architecture.ts';
import { type Parameters, type SpecTree, unflatten } from '../../../src/nn/parameters.ts';

const parameters = <S extends SpecTree>(spec: S): Parameters<S> =>
  unflatten(spec, (name) => variable(spec, name).read()) as Parameters<S>;
const variable = (spec: SpecTree, name: string): Variable => {
  const leaf = name.split('.').reduce<unknown>((node, key) => (node as SpecTree)[key], spec);
  return new Variable(name, (leaf as { shape: readonly number[] }).shape);
};

const clip = clipModelSchema.parse({
  embedding: 6,
  image: { size: 8, patch: 4, width: 8, layers: 1, heads: 2 },
  text: { vocabulary: 9, length: 5, width: 8, layers: 1, heads: 2 },
});
const dvae = dvaeModelSchema.parse({
  architecture: 'dalle-pytorch',
  imageSize: 8,
  layers: 1,
  hiddenChannels: 4,
  codebookDim: 4,
  vocabulary: 6,
});

const FUNCTIONS: Readonly<Record<string, (batch: number) => RecordedFunction>> = {
  "CLIP's text tower": (batch) =>
    recordFunction(
      'texts',
      ({ text, mask }: { text: Tensor; mask: Tensor }) => ({
        features: encodeText(parameters(clipSpec(clip).text), text as Tensor2D, mask as Tensor2D, clip),
      }),
      { text: { dtype: 'int32', shape: [batch, 5] }, mask: { dtype: 'float32', shape: [batch, 5] } },
    ),
  'a decoder with transposed convolutions': (batch) =>
    recordFunction(
      'decode',
      ({ codes }: { codes: Tensor }) => {
        const { spec, decodeCodes } = imageTokenizer(dvae);
        return { pixels: decodeCodes(parameters(spec), codes as Tensor3D) };
      },
      { codes: { dtype: 'int32', shape: [batch, 4, 4] } },
    ),
  'a size that equals a multiple of the batch': (batch) =>
    recordFunction(
      'equal sizes',
      ({ x }: { x: Tensor }) => {
        const bias = tf.sum(tf.reshape(new Variable('bias', [2, 2]).read(), [4]));
        return { y: tf.reshape(tf.add(tf.reshape(x, [2 * batch]), bias), [batch, 2]) };
      },
      { x: { dtype: 'float32', shape: [batch, 2] } },
    ),
};

/** What the nodes that depend on the batch alone give for one of a size: numbers, by name. */
function evaluated(nodes: readonly GraphNode[], batch: number): (name: string) => number[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const numbersOf = (name: string): number[] => {
    const node = byName.get(name)!;
    const inputs = (): number[][] => node.inputs.map(numbersOf);
    switch (node.op) {
      case 'Const':
        return Array.from(constantOf(node.attributes.get('value'))!.values);
      case 'GatherV2':
        return [batch];
      case 'Mul':
        return [inputs().reduce((product, [factor]) => product * factor!, 1)];
      case 'Pack':
      case 'Identity':
        return inputs().flat();
      case 'Fill': {
        const [shape, [content]] = inputs() as [number[], [number]];
        return new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(content);
      }
      default:
        throw new Error(`${name} is ${node.op}`);
    }
  };
  return numbersOf;
}

for (const [name, record] of Object.entries(FUNCTIONS))
  describe(name, () => {
    const { nodes, inputs, outputs } = freeBatch(record);
    const computed = nodes.filter(({ name }) => nodes.some((other) => other.name.startsWith(`${name}/`)));

    test('computes for another size the constants that the engine records for it', () => {
      const batch = 7;
      const wanted = new Map(parseGraph(record(batch).graph).nodes.map((node) => [node.name, node]));
      const numbersOf = evaluated(nodes, batch);
      const names = computed.map((node) => node.name).filter((one) => wanted.has(one));
      assert.ok(names.length > 1);
      for (const one of names) {
        const constant = constantOf(wanted.get(one)!.attributes.get('value'))!;
        assert.deepEqual(numbersOf(one), Array.from(constant.values), one);
      }
    });

    test('has a first axis of any size, and no constant that depends on the recorded sizes', () => {
      for (const { shape } of [...inputs.values(), ...outputs.values()]) assert.equal(shape[0], -1);
      const [first, second] = BATCHES.map((batch) => parseGraph(record(batch).graph).nodes);
      const kept = new Set(nodes.filter(({ op }) => op === 'Const').map((node) => node.name));
      for (const [i, node] of first!.entries())
        if (kept.has(node.name))
          assert.deepEqual(node.attributes.get('value'), second![i]!.attributes.get('value'), node.name);
    });
  });

test('a graph whose numbers are no multiples of the batch is an error, not a guess', () => {
  const record = (batch: number): RecordedFunction =>
    recordFunction(
      'padded',
      ({ x }: { x: Tensor }) => ({ y: tf.slice(tf.concat([x, x, x], 0), [0], [batch + 1]) }),
      { x: { dtype: 'float32', shape: [batch] } },
    );
  assert.throws(() => freeBatch(record), /3 for a batch of 2 and 4 for one of 3/);
});
