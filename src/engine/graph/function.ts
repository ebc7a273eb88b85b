// Functions of a graph: small graphs under a name, which nodes of the graph call.

import { checked, type GraphOutput } from '../native/capi.ts';
import type { Graph } from './graph.ts';

/** Adds the part of `body` between these outputs of its nodes to `graph`, as the function `name`. */
export function addFunction(
  graph: Graph,
  name: string,
  body: Graph,
  inputs: readonly GraphOutput[],
  outputs: readonly GraphOutput[],
): void {
  const { api } = graph;
  checked(api, name, (status) => {
    const made = api.graphToFunction(
      body.pointer,
      name,
      0,
      -1,
      null,
      inputs.length,
      inputs,
      outputs.length,
      outputs,
      null,
      null,
      null,
      status,
    );
    if (api.statusCode(status) !== 0) return;
    api.copyFunction(graph.pointer, made, null, status);
    api.deleteFunction(made);
  });
  graph.functions.set(
    name,
    outputs.map((output) => body.shape(output)),
  );
}
