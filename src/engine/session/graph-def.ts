// A function as a GraphDef, for other programs that run TensorFlow's graphs: its body is recorded as for a Runtime, into
// a separate graph, and nothing runs. Variables are nodes; their values stand elsewhere.

import { Graph } from '../graph/graph.ts';
import { checked, copyBuffer, type GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { useTensorFlow } from '../tfjs/backend.ts';
import { buildFunction } from './build.ts';
import type { InputType, NamedTensors } from './compiled.ts';

/** An input or a result: the name of its node, its type by TensorFlow's number, its shape. */
export interface GraphTensor {
  readonly node: string;
  readonly dtype: number;
  readonly shape: readonly number[];
}

export interface RecordedFunction {
  /** A serialized GraphDef. */
  readonly graph: Uint8Array;
  readonly inputs: ReadonlyMap<string, GraphTensor>;
  readonly outputs: ReadonlyMap<string, GraphTensor>;
}

/** Records `body` for inputs of these types and shapes. uint8 inputs reach it as float32, as in `Runtime.compile`. */
export function recordFunction<Inputs extends NamedTensors>(
  name: string,
  body: (inputs: Inputs) => NamedTensors,
  inputs: { readonly [K in keyof Inputs]: InputType },
): RecordedFunction {
  useTensorFlow();
  const graph = new Graph();
  const { api } = graph;
  try {
    const built = buildFunction(graph, body as never, {
      name,
      inputs,
      scope: name,
      xlaScope: name,
      forCpu: false,
      // Graphs of two batch sizes are compared node by node (export/saved-model/free-batch.ts).
      sharesConstants: false,
      replicas: { names: [undefined], areGpus: false, count: 1, first: 0 },
    });
    const describe = (output: GraphOutput): GraphTensor => ({
      node: api.operationName(output.oper),
      dtype: graph.dtype(output),
      shape: graph.shape(output),
    });
    const buffer = api.newBuffer();
    try {
      checked(api, name, (status) => api.graphToGraphDef(graph.pointer, buffer, status));
      return {
        graph: copyBuffer(api, buffer),
        inputs: new Map(
          Array.from(built.placeholders, ([input, output]) => [
            input,
            { ...describe(output), dtype: DT[(inputs[input] as InputType).dtype] },
          ]),
        ),
        outputs: new Map(built.names.map((name, i) => [name, describe(built.fetches[i] as GraphOutput)])),
      };
    } finally {
      api.deleteBuffer(buffer);
    }
  } finally {
    graph.delete();
  }
}
