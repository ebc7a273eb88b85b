// saved_model.pb: functions as signatures of one graph, whose variables are restored from the checkpoint beside it.
// Field numbers are those of tensorflow/core/protobuf: saved_model.proto, meta_graph.proto, saver.proto.

import { DT } from '../../engine/native/dtype.ts';
import type { GraphTensor } from '../../engine/session/graph-def.ts';
import { bytesField, integerField, message } from '../../util/protobuf.ts';
import type { FreeFunction } from './free-batch.ts';
import { encodeGraph, type GraphNode, nodeOf, shapeProto, textOf, value } from './nodes.ts';

const SAVED_MODEL = { version: 1, metaGraphs: 2 } as const;
const META_GRAPH = { info: 1, graph: 2, saver: 3, collections: 4, signatures: 5 } as const;
const INFO = { tags: 4, tensorflow: 5 } as const;
const SAVER = { filename: 1, save: 2, restore: 3, version: 7 } as const;
const SAVER_VERSION = 2;
const SIGNATURE = { inputs: 1, outputs: 2, method: 3 } as const;
const TENSOR_INFO = { name: 1, dtype: 2, shape: 3 } as const;
const VARIABLE = { name: 1, initializer: 2, snapshot: 3, isResource: 5, trainable: 7 } as const;
const COLLECTION = { bytes: 2 } as const;
const PREDICT = 'tensorflow/serving/predict';

const entry = (field: number, key: string, content: Uint8Array) =>
  bytesField(field, message(bytesField(1, key), bytesField(2, content)));

export interface VariableInfo {
  /** Of its node, and of its value in the checkpoint. */
  readonly name: string;
  readonly shape: readonly number[];
}

const HANDLE = 'VarHandleOp';

/** The names of the variables that a function reads. */
export const variablesIn = ({ nodes }: FreeFunction): string[] =>
  nodes.filter(({ op }) => op === HANDLE).map(({ attributes }) => textOf(attributes.get('shared_name')));

/** The nodes of a function by names that begin with its own; its variables are nodes that functions share. */
function placed(name: string, { nodes }: FreeFunction): GraphNode[] {
  const variables = new Map(
    nodes
      .filter(({ op }) => op === HANDLE)
      .map((node) => [node.name, textOf(node.attributes.get('shared_name'))]),
  );
  const renamed = (input: string): string => {
    const node = nodeOf(input);
    const to = variables.get(node) ?? `${name}/${node}`;
    return input.replace(node, () => to);
  };
  return nodes
    .filter(({ op }) => op !== HANDLE)
    .map((node) => ({ ...node, name: `${name}/${node.name}`, inputs: node.inputs.map(renamed) }));
}

const node = (
  name: string,
  op: string,
  inputs: readonly string[],
  attributes: Readonly<Record<string, Uint8Array>> = {},
): GraphNode => ({ name, op, inputs, attributes: new Map(Object.entries(attributes)) });

const FLOAT = value.type(DT.float32);
const STRING = value.type(DT.string);

const handles = (variables: readonly VariableInfo[]): GraphNode[] =>
  variables.map(({ name, shape }) =>
    node(name, HANDLE, [], {
      container: value.text(''),
      dtype: FLOAT,
      shape: value.shape(shape),
      shared_name: value.text(name),
    }),
  );

/** The nodes that restore all variables from a checkpoint, and write one. */
function saver(variables: readonly VariableInfo[]): GraphNode[] {
  const names = variables.map(({ name }) => name);
  const dtypes = value.types(names.map(() => DT.float32));
  const list = ['save/Const', 'save/names', 'save/slices'];
  return [
    node('save/default', 'Const', [], { dtype: STRING, value: value.texts(['model'], []) }),
    node('save/Const', 'PlaceholderWithDefault', ['save/default'], { dtype: STRING, shape: value.shape([]) }),
    node('save/names', 'Const', [], { dtype: STRING, value: value.texts(names) }),
    node('save/slices', 'Const', [], { dtype: STRING, value: value.texts(names.map(() => '')) }),
    node('save/RestoreV2', 'RestoreV2', list, { dtypes }),
    ...names.map((name, i) =>
      node(`save/assign/${name}`, 'AssignVariableOp', [name, `save/RestoreV2${i === 0 ? '' : `:${i}`}`], {
        dtype: FLOAT,
      }),
    ),
    node(
      'save/restore_all',
      'NoOp',
      names.map((name) => `^save/assign/${name}`),
    ),
    ...names.map((name) => node(`save/read/${name}`, 'ReadVariableOp', [name], { dtype: FLOAT })),
    node('save/SaveV2', 'SaveV2', [...list, ...names.map((name) => `save/read/${name}`)], { dtypes }),
    node('save/control_dependency', 'Identity', ['save/Const', '^save/SaveV2'], { T: STRING }),
  ];
}

const saverDef = message(
  bytesField(SAVER.filename, 'save/Const:0'),
  bytesField(SAVER.save, 'save/control_dependency:0'),
  bytesField(SAVER.restore, 'save/restore_all'),
  integerField(SAVER.version, SAVER_VERSION),
);

/** The variables for programs that give them to users: their handles, and the nodes that set and read them. */
const collection = (variables: readonly VariableInfo[]): Uint8Array =>
  bytesField(
    COLLECTION.bytes,
    message(
      ...variables.map(({ name }) =>
        bytesField(
          1,
          message(
            bytesField(VARIABLE.name, `${name}:0`),
            bytesField(VARIABLE.initializer, `save/assign/${name}`),
            bytesField(VARIABLE.snapshot, `save/read/${name}:0`),
            integerField(VARIABLE.isResource, true),
            integerField(VARIABLE.trainable, true),
          ),
        ),
      ),
    ),
  );

function signature(name: string, { inputs, outputs }: FreeFunction): Uint8Array {
  const infos = (field: number, tensors: ReadonlyMap<string, GraphTensor>) =>
    Array.from(tensors, ([key, tensor]) =>
      entry(
        field,
        key,
        message(
          bytesField(TENSOR_INFO.name, `${name}/${tensor.node}:0`),
          integerField(TENSOR_INFO.dtype, tensor.dtype),
          bytesField(TENSOR_INFO.shape, shapeProto(tensor.shape)),
        ),
      ),
    );
  return message(
    ...infos(SIGNATURE.inputs, inputs),
    ...infos(SIGNATURE.outputs, outputs),
    bytesField(SIGNATURE.method, PREDICT),
  );
}

/**
 * The bytes of saved_model.pb.
 * @param functions by the names of their signatures; the first is `serving_default` too
 * @param version of libtensorflow
 */
export function savedModel(
  functions: ReadonlyMap<string, FreeFunction>,
  variables: readonly VariableInfo[],
  version: string,
): Uint8Array {
  const all = [...functions];
  const [first] = all as [[string, FreeFunction]];
  const nodes = [
    ...handles(variables),
    ...all.flatMap(([name, one]) => placed(name, one)),
    ...saver(variables),
  ];
  const signatures = [
    ...all.map(([name, one]) => [name, name, one] as const),
    ['serving_default', ...first] as const,
  ];
  const meta = message(
    bytesField(
      META_GRAPH.info,
      message(bytesField(INFO.tags, 'serve'), bytesField(INFO.tensorflow, version)),
    ),
    bytesField(META_GRAPH.graph, encodeGraph(nodes, first[1].versions)),
    bytesField(META_GRAPH.saver, saverDef),
    entry(META_GRAPH.collections, 'variables', collection(variables)),
    ...signatures.map(([key, name, one]) => entry(META_GRAPH.signatures, key, signature(name, one))),
  );
  return message(integerField(SAVED_MODEL.version, 1), bytesField(SAVED_MODEL.metaGraphs, meta));
}
