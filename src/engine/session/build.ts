// Builds a function for one input signature: calls its body once with placeholders and records every op.

import { UsageError } from '../../util/errors.ts';
import { type Attribute, boolAttr, stringAttr } from '../graph/attributes.ts';
import type { Graph } from '../graph/graph.ts';
import { withModelLine } from '../graph/origin.ts';
import type { GraphOutput, Pointer } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { endsWithProducts } from '../native/processor.ts';
import type { HostTensor } from '../native/tensor.ts';
import { canPackWeights } from '../ops/packed-weights.ts';
import { outputOf, record, useTensorFlow, wrapOutput } from '../tfjs/backend.ts';
import { RecordingBinding } from '../tfjs/recording-binding.ts';
import { type Tensor, tf } from '../tfjs/tf.ts';
import { newTrace, onDevice, type Trace, withTrace } from '../tfjs/trace.ts';
import type { Variable } from '../tfjs/variable.ts';
import type { CompileOptions, InputType, NamedTensors } from './compiled.ts';

/** The part of the graph that runs one function for one input signature. */
export interface Built {
  readonly placeholders: ReadonlyMap<string, GraphOutput>;
  /** Names of the results, in the order of `fetches`. */
  readonly names: readonly string[];
  readonly fetches: readonly GraphOutput[];
  /** Updates of variables. */
  readonly targets: readonly Pointer[];
  /** float32 tensors recorded before the first update. */
  readonly floats: readonly GraphOutput[];
}

export interface BuildOptions
  extends Pick<CompileOptions, 'precision' | 'xla' | 'frozen' | 'releases' | 'deviceOf' | 'inOneThread'>,
    Pick<Trace, 'scope' | 'replicas'> {
  /** See `RecordingOptions`. */
  readonly sharesConstants?: boolean;
  readonly name: string;
  /** Unique within the graph. */
  readonly xlaScope: string;
  readonly inputs: Readonly<Record<string, InputType>>;
  /** All devices are CPUs. */
  readonly forCpu: boolean;
  /** Values of the frozen variables that become constants. */
  readonly constants?: ReadonlyMap<Variable, HostTensor> | undefined;
}

/** Types of inputs that reach the body as float32. */
const WIDENED: ReadonlySet<string> = new Set(['uint8', 'bfloat16', 'float16']);

/** Calls `body` once and adds its ops to `graph`. */
export function buildFunction(
  graph: Graph,
  body: (inputs: NamedTensors) => NamedTensors,
  { name, inputs, forCpu, constants, scope, replicas, ...options }: BuildOptions,
): Built {
  const { precision = 'float32', xla = false, frozen = [], releases, deviceOf, xlaScope } = options;
  const { sharesConstants = true } = options;
  if (forCpu && endsWithProducts(precision))
    throw new UsageError(`oneDNN is held to instructions that have no products in ${precision}`, {
      code: 'E_PRECISION_UNSUPPORTED',
      option: 'precision',
      fix: 'unset ONEDNN_MAX_CPU_ISA and DNNL_MAX_CPU_ISA, or leave `precision` out, for float32',
    });
  const recording = new RecordingBinding(graph, useTensorFlow().binding.eager, {
    precision,
    sharesConstants,
  });
  const packs = forCpu && canPackWeights(graph.api, precision);
  const trace = newTrace({
    graph,
    recording,
    forCpu,
    // Runs in one thread have a small stack (docs/LOG.md), on which XLA's compiler ends the process.
    fuses: forCpu && !options.inOneThread,
    scope,
    replicas,
    constants,
    frozen: packs ? frozen : [],
    releases,
  });
  graph.ambient = xla ? xlaAttributes(xlaScope) : [];
  [graph.device] = replicas.names;
  const build = (): Built => {
    const placeholders = new Map<string, GraphOutput>();
    const tensors: Record<string, Tensor> = {};
    for (const [input, { dtype, shape }] of Object.entries(inputs)) {
      const placeholder = graph.placeholder(DT[dtype], shape);
      placeholders.set(input, placeholder);
      const cast = (): GraphOutput => graph.cast(placeholder, DT.float32);
      // Bytes and floats of 16 bits are sent to the device that needs them, and become float32 there.
      const value = WIDENED.has(dtype) ? onDevice(deviceOf?.(input) ?? graph.device, cast) : placeholder;
      tensors[input] = wrapOutput(recording, value);
    }
    const outputs = body(tensors);
    const fed = new Set([...placeholders.values()].map(({ oper }) => oper));
    const fetches = Object.values(outputs).map((tensor) => {
      const output = outputOf(recording, tensor);
      // A fed tensor cannot be fetched, but a copy of it can; programs name results by their node alone (graph-def.ts).
      return fed.has(output.oper) || output.index > 0 ? graph.identity(output) : output;
    });
    return {
      placeholders,
      names: Object.keys(outputs),
      fetches,
      targets: trace.targets,
      floats: recording.floats,
    };
  };
  tf.engine().startScope(name);
  try {
    return record(recording, () => withTrace(trace, () => withModelLine(build)));
  } finally {
    tf.engine().endScope();
    graph.ambient = [];
    graph.device = undefined;
  }
}

function xlaAttributes(scope: string): Attribute[] {
  return [boolAttr('_XlaCompile', true), stringAttr('_XlaScope', scope.replaceAll(/\W/g, '_'))];
}
