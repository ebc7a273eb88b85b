// The nodes of a GraphDef: read from TensorFlow's, renamed, and written. Field numbers are those of
// tensorflow/core/framework: graph.proto, node_def.proto, attr_value.proto, tensor.proto, tensor_shape.proto.

import { DT } from '../../engine/native/dtype.ts';
import { bytesField, integerField, message, readFields } from '../../util/protobuf.ts';

const GRAPH = { node: 1, versions: 4 } as const;
const NODE = { name: 1, op: 2, input: 3, device: 4, attribute: 5 } as const;
const ENTRY = { key: 1, value: 2 } as const;
const VALUE = { list: 1, text: 2, integer: 3, flag: 5, type: 6, shape: 7, tensor: 8 } as const;
const LIST = { type: 6 } as const;
const SHAPE = { dimension: 2 } as const;
const TENSOR = { dtype: 1, shape: 2, content: 4, floats: 5, integers: 7, texts: 8 } as const;

export interface GraphNode {
  readonly name: string;
  readonly op: string;
  /** `NODE`, `NODE:OUTPUT`, or `^NODE` for one that runs before. */
  readonly inputs: readonly string[];
  /** Serialized values by name. */
  readonly attributes: ReadonlyMap<string, Uint8Array>;
}

const TEXT = new TextDecoder();
const text = (value: Uint8Array | number): string => TEXT.decode(value as Uint8Array);

export interface ParsedGraph {
  readonly nodes: readonly GraphNode[];
  /** The serialized versions of the graph's format. */
  readonly versions: Uint8Array;
}

export function parseGraph(bytes: Uint8Array): ParsedGraph {
  const nodes: GraphNode[] = [];
  let versions: Uint8Array = new Uint8Array();
  readFields(bytes, (field, value) => {
    if (field === GRAPH.node) nodes.push(parseNode(value as Uint8Array));
    if (field === GRAPH.versions) versions = value as Uint8Array;
  });
  return { nodes, versions };
}

function parseNode(bytes: Uint8Array): GraphNode {
  let [name, op] = ['', ''];
  const inputs: string[] = [];
  const attributes = new Map<string, Uint8Array>();
  readFields(bytes, (field, value) => {
    if (field === NODE.name) name = text(value);
    if (field === NODE.op) op = text(value);
    if (field === NODE.input) inputs.push(text(value));
    if (field === NODE.attribute) attributes.set(...parseEntry(value as Uint8Array));
  });
  return { name, op, inputs, attributes };
}

function parseEntry(bytes: Uint8Array): [string, Uint8Array] {
  let key = '';
  let content: Uint8Array = new Uint8Array();
  readFields(bytes, (field, value) => {
    if (field === ENTRY.key) key = text(value);
    if (field === ENTRY.value) content = value as Uint8Array;
  });
  return [key, content];
}

const encodeNode = ({ name, op, inputs, attributes }: GraphNode): Uint8Array =>
  message(
    bytesField(NODE.name, name),
    bytesField(NODE.op, op),
    ...inputs.map((input) => bytesField(NODE.input, input)),
    ...Array.from(attributes, ([key, value]) =>
      bytesField(NODE.attribute, message(bytesField(ENTRY.key, key), bytesField(ENTRY.value, value))),
    ),
  );

export const encodeGraph = (nodes: readonly GraphNode[], versions: Uint8Array): Uint8Array =>
  message(
    ...nodes.map((node) => bytesField(GRAPH.node, encodeNode(node))),
    bytesField(GRAPH.versions, versions),
  );

/** A node's name in an input of another. */
export const nodeOf = (input: string): string => input.replace(/^\^/, '').replace(/:\d+$/, '');

/** The text of an attribute. */
export function textOf(value: Uint8Array | undefined): string {
  let found = '';
  readFields(value ?? new Uint8Array(), (field, content) => {
    if (field === VALUE.text) found = text(content);
  });
  return found;
}

/** A shape; −1 is a dimension of any size. */
export const shapeProto = (shape: readonly number[]): Uint8Array =>
  message(...shape.map((size) => bytesField(SHAPE.dimension, integerField(1, size))));

/** Attribute values. */
export const value = {
  type: (dtype: number): Uint8Array => integerField(VALUE.type, dtype),
  types: (dtypes: readonly number[]): Uint8Array =>
    bytesField(VALUE.list, message(...dtypes.map((dtype) => integerField(LIST.type, dtype)))),
  shape: (shape: readonly number[]): Uint8Array => bytesField(VALUE.shape, shapeProto(shape)),
  text: (content: string): Uint8Array => bytesField(VALUE.text, content),
  integer: (content: number): Uint8Array => integerField(VALUE.integer, content),
  integers: (content: readonly number[]): Uint8Array =>
    bytesField(
      VALUE.tensor,
      message(
        integerField(TENSOR.dtype, DT.int32),
        bytesField(TENSOR.shape, shapeProto(content.length === 1 ? [] : [content.length])),
        bytesField(TENSOR.content, new Uint8Array(Int32Array.from(content).buffer)),
      ),
    ),
  float: (content: number): Uint8Array =>
    bytesField(
      VALUE.tensor,
      message(
        integerField(TENSOR.dtype, DT.float32),
        bytesField(TENSOR.shape, shapeProto([])),
        bytesField(TENSOR.content, new Uint8Array(Float32Array.of(content).buffer)),
      ),
    ),
  texts: (contents: readonly string[], shape: readonly number[] = [contents.length]): Uint8Array =>
    bytesField(
      VALUE.tensor,
      message(
        integerField(TENSOR.dtype, DT.string),
        bytesField(TENSOR.shape, shapeProto(shape)),
        ...contents.map((content) => bytesField(TENSOR.texts, content)),
      ),
    ),
} as const;

/** The value of a Const node; undefined for types other than float32 and int32. */
export interface ConstantValue {
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

export function constantOf(attribute: Uint8Array | undefined): ConstantValue | undefined {
  let tensor: Uint8Array | undefined;
  readFields(attribute ?? new Uint8Array(), (field, content) => {
    if (field === VALUE.tensor) tensor = content as Uint8Array;
  });
  if (!tensor) return undefined;
  let dtype = 0;
  let shape: number[] = [];
  let values: ArrayLike<number> = [];
  readFields(tensor, (field, content) => {
    if (field === TENSOR.dtype) dtype = content as number;
    if (field === TENSOR.shape) shape = parseShape(content as Uint8Array);
    if (field === TENSOR.content) {
      const { buffer } = Uint8Array.from(content as Uint8Array);
      values = dtype === DT.float32 ? new Float32Array(buffer) : new Int32Array(buffer);
    }
    // A single value, packed.
    if (field === TENSOR.integers) values = [packedVarint(content)];
    if (field === TENSOR.floats)
      values = new Float32Array(Uint8Array.from(content as Uint8Array).buffer).slice(0, 1);
  });
  return dtype === DT.float32 || dtype === DT.int32 ? { dtype, shape, values } : undefined;
}

function parseShape(bytes: Uint8Array): number[] {
  const sizes: number[] = [];
  readFields(bytes, (field, dimension) => {
    if (field !== SHAPE.dimension) return;
    let size = 0;
    readFields(dimension as Uint8Array, (_, value) => {
      size = value as number;
    });
    sizes.push(size);
  });
  return sizes;
}

function packedVarint(content: Uint8Array | number): number {
  if (typeof content === 'number') return content;
  return content.reduceRight((value, byte) => value * 128 + (byte & 127), 0);
}
