// A graph for a batch of any size, of the same function recorded for two sizes. The engine knows every shape while it
// records, so that the size stands in constants: shapes to reshape to, to slice, to fill. Where the constants of the two
// graphs differ, they are multiples of the size; there the graph computes them of the input's shape.

import { DT } from '../../engine/native/dtype.ts';
import type { GraphTensor, RecordedFunction } from '../../engine/session/graph-def.ts';
import { type ConstantValue, constantOf, type GraphNode, nodeOf, parseGraph, value } from './nodes.ts';

/** Sizes to record: neither is 1, and a number that is a multiple of both by the same factor is one of the batch. */
export const BATCHES = [2, 3] as const;

export interface FreeFunction {
  readonly nodes: readonly GraphNode[];
  readonly versions: Uint8Array;
  /** The first axis is of any size, −1. */
  readonly inputs: ReadonlyMap<string, GraphTensor>;
  readonly outputs: ReadonlyMap<string, GraphTensor>;
}

const isEqual = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  Buffer.compare(a ?? Buffer.alloc(0), b ?? Buffer.alloc(0)) === 0;

/** How a number follows from the batch's size. */
interface Size {
  readonly factor: number;
  readonly isBatch: boolean;
}

/** @throws Error when the two numbers are not multiples of their batch sizes */
function sizeOf(first: number, second: number, where: string): Size {
  if (first === second) return { factor: first, isBatch: false };
  const factor = first / BATCHES[0];
  if (!Number.isInteger(factor) || factor * BATCHES[1] !== second)
    throw new Error(
      `${where} is ${first} for a batch of ${BATCHES[0]} and ${second} for one of ${BATCHES[1]}`,
    );
  return { factor, isBatch: true };
}

const constant = (name: string, dtype: number, attribute: Uint8Array): GraphNode => ({
  name,
  op: 'Const',
  inputs: [],
  attributes: new Map([
    ['dtype', value.type(dtype)],
    ['value', attribute],
  ]),
});

/** Nodes that compute numbers from the shape of an input. */
class BatchNodes {
  readonly nodes: GraphNode[] = [];
  readonly #batch = 'batch';

  constructor(input: GraphTensor) {
    const integer = value.type(DT.int32);
    this.nodes.push(
      {
        name: 'batch/shape',
        op: 'Shape',
        inputs: [input.node],
        attributes: new Map([
          ['T', value.type(input.dtype)],
          ['out_type', integer],
        ]),
      },
      constant('batch/axis', DT.int32, value.integers([0])),
      {
        name: this.#batch,
        op: 'GatherV2',
        inputs: ['batch/shape', 'batch/axis', 'batch/axis'],
        attributes: new Map([
          ['Tparams', integer],
          ['Tindices', integer],
          ['Taxis', integer],
          ['batch_dims', value.integer(0)],
        ]),
      },
    );
  }

  /** The name of a scalar. */
  #scalar(name: string, { factor, isBatch }: Size): string {
    if (isBatch && factor === 1) return this.#batch;
    this.nodes.push(constant(isBatch ? `${name}/factor` : name, DT.int32, value.integers([factor])));
    if (!isBatch) return name;
    this.nodes.push({
      name,
      op: 'Mul',
      inputs: [this.#batch, `${name}/factor`],
      attributes: new Map([['T', value.type(DT.int32)]]),
    });
    return name;
  }

  /** Adds the node `name`: a vector, or a scalar where there is one size and no axis. */
  integers(name: string, sizes: readonly Size[], isScalar: boolean): void {
    const parts = sizes.map((size, i) => this.#scalar(`${name}/${i}`, size));
    const [T, only] = [value.type(DT.int32), parts[0] as string];
    this.nodes.push(
      isScalar
        ? { name, op: 'Identity', inputs: [only], attributes: new Map([['T', T]]) }
        : {
            name,
            op: 'Pack',
            inputs: parts,
            attributes: new Map([
              ['T', T],
              ['N', value.integer(parts.length)],
              ['axis', value.integer(0)],
            ]),
          },
    );
  }

  /** Adds the node `name`: a tensor with one number everywhere. */
  filled(name: string, sizes: readonly Size[], content: number): void {
    this.integers(`${name}/shape`, sizes, false);
    this.nodes.push(constant(`${name}/value`, DT.float32, value.float(content)), {
      name,
      op: 'Fill',
      inputs: [`${name}/shape`, `${name}/value`],
      attributes: new Map([
        ['T', value.type(DT.float32)],
        ['index_type', value.type(DT.int32)],
      ]),
    });
  }

  /** Adds the node of a constant that differs. */
  constant(name: string, first: ConstantValue, second: ConstantValue): void {
    const sizes = first.shape.map((size, axis) =>
      sizeOf(size, second.shape[axis] as number, `an axis of ${name}`),
    );
    if (first.dtype === DT.float32) {
      const [content = 0] = Array.from(first.values);
      if (![...Array.from(first.values), ...Array.from(second.values)].every((one) => one === content))
        throw new Error(`the constant ${name} differs in more than its shape`);
      this.filled(name, sizes, content);
      return;
    }
    if (sizes.some(({ isBatch }) => isBatch)) throw new Error(`the shape of the integers ${name} differs`);
    const elements = Array.from(first.values, (one, i) => sizeOf(one, second.values[i] as number, name));
    this.integers(name, elements, first.shape.length === 0);
  }
}

/** The nodes that the results need, in their order. */
function needed(nodes: readonly GraphNode[], outputs: Iterable<GraphTensor>): Set<string> {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const found = new Set<string>();
  const visit = (names: string[]): void => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      if (found.has(name)) continue;
      found.add(name);
      names.push(...(byName.get(name)?.inputs ?? []).map(nodeOf));
    }
  };
  visit(Array.from(outputs, ({ node }) => node));
  return found;
}

const free = (tensors: ReadonlyMap<string, GraphTensor>): Map<string, GraphTensor> =>
  new Map(
    Array.from(tensors, ([name, tensor]) => [name, { ...tensor, shape: [-1, ...tensor.shape.slice(1)] }]),
  );

/**
 * The function for batches of any size.
 * @param record records it for a batch of a size
 * @throws Error when the two graphs differ otherwise than by their sizes
 */
export function freeBatch(record: (batch: number) => RecordedFunction): FreeFunction {
  const [first, second] = BATCHES.map(record) as [RecordedFunction, RecordedFunction];
  const { nodes, versions } = parseGraph(first.graph);
  const others = parseGraph(second.graph).nodes;
  if (nodes.length !== others.length) throw new Error(`${nodes.length} nodes, and ${others.length}`);
  const used = needed(nodes, first.outputs.values());
  const inputs = free(first.inputs);
  const placeholders = new Map(Array.from(inputs.values(), (tensor) => [tensor.node, tensor]));
  const batch = new BatchNodes([...inputs.values()][0] as GraphTensor);
  const kept: GraphNode[] = [];
  for (const [i, node] of nodes.entries()) {
    const other = others[i] as GraphNode;
    if (node.op !== other.op || node.inputs.join() !== other.inputs.join())
      throw new Error(`node ${node.name} is ${node.op}(${node.inputs}), and ${other.op}(${other.inputs})`);
    const placeholder = placeholders.get(node.name);
    if (placeholder) {
      const shape = value.shape(placeholder.shape);
      kept.push({ ...node, attributes: new Map([...node.attributes, ['shape', shape]]) });
      continue;
    }
    if (!used.has(node.name)) continue;
    const differing = [...node.attributes].filter(([key, one]) => !isEqual(one, other.attributes.get(key)));
    if (differing.length === 0) {
      kept.push(node);
      continue;
    }
    const [a, b] = [node, other].map(({ attributes }) => constantOf(attributes.get('value')));
    if (node.op !== 'Const' || !a || !b)
      throw new Error(`${node.op} ${node.name} differs in ${differing.map(([key]) => key).join(', ')}`);
    batch.constant(node.name, a, b);
  }
  return { nodes: [...kept, ...batch.nodes], versions, inputs, outputs: free(first.outputs) };
}
