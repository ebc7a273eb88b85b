// TensorFlow's collective ops: exchanges between all replicas, those of other workers too (server.ts), in which each
// takes part by one op. They are recorded into the function being built, and run with it. Each exchange has a number,
// its instance key, by which the replicas' ops find each other; TensorFlow remembers the key with its shape for the life
// of the session. All workers have to run the functions that have exchanges in the same order.
//   R replicas, N elements

import { graphSeed } from '../../util/random.ts';
import { ATTR, type Attribute, stringAttr, typeAttr } from '../graph/attributes.ts';
import type { GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { outputOf, wrapOutput } from '../tfjs/backend.ts';
import { type Tensor, tf } from '../tfjs/tf.ts';
import { currentTrace } from '../tfjs/trace.ts';

/** The group of all replicas. */
const GROUP = 1;

/** How a sum is computed: by TensorFlow in a ring, or by NVIDIA's NCCL. */
export type ReduceAlgorithm = 'ring' | 'nccl';

/** The replicas of all workers. */
export const replicaCount = (): number => currentTrace().replicas.count;

/** The number, among those of all workers, of the replica for which ops are recorded. */
export function replicaNumber(): number {
  const { graph, replicas } = currentTrace();
  return replicas.first + replicas.names.indexOf(graph.device);
}

/** Whether ops are recorded for the first of all replicas. */
export const isFirstReplica = (): boolean => replicaNumber() === 0;

/** Σ x over the replicas, at each of them; the order of the sum depends on the algorithm and on N. */
export const allReduce = (x: Tensor, algorithm: ReduceAlgorithm): Tensor =>
  exchanged(x, x.shape, 'CollectiveReduceV2', {
    algorithm,
    attributes: [stringAttr('merge_op', 'Add'), stringAttr('final_op', 'Id')],
  });

/** The x of all replicas, one after the other along the first axis: [R · x.shape[0], …]. */
export const allGather = (x: Tensor): Tensor =>
  exchanged(x, [(x.shape[0] as number) * replicaCount(), ...x.shape.slice(1)], 'CollectiveGatherV2');

/**
 * Row r of x, [R, …], goes to replica r; row r of the result comes from replica r. TensorFlow runs it only in functions
 * that have another kind of exchange too (`allowAllToAll`).
 */
export const allToAll = (x: Tensor): Tensor => exchanged(x, x.shape, 'CollectiveAllToAllV2');

/**
 * A tensor of the first replica, at each of them.
 * @param first records it; called for the first replica only
 */
export function broadcast(shape: readonly number[], first: () => Tensor): Tensor {
  const { graph, recording, replicas } = currentTrace();
  if (replicas.count === 1) return first();
  if (isFirstReplica())
    return wrapOutput(recording, collective('CollectiveBcastSendV2', outputOf(recording, first())));
  const dimensions = graph.constant(DT.int32, [shape.length], Int32Array.from(shape));
  const received = collective('CollectiveBcastRecvV2', undefined, {
    more: [dimensions],
    attributes: [typeAttr('T', DT.float32)],
  });
  return wrapOutput(recording, shaped(received, shape));
}

/** Lets a function run `allToAll` that has no other kind of exchange: adds one of a single number. */
export const allowAllToAll = (): void => void allGather(tf.zeros([1]));

interface ExchangeOptions {
  readonly algorithm?: ReduceAlgorithm;
  readonly attributes?: readonly Attribute[];
  /** Inputs after those of every collective op. */
  readonly more?: readonly GraphOutput[];
}

function exchanged(x: Tensor, shape: readonly number[], op: string, options: ExchangeOptions = {}): Tensor {
  const { recording } = currentTrace();
  if (replicaCount() === 1) return x;
  const result = collective(op, outputOf(recording, x), options);
  return wrapOutput(recording, shaped(result, shape));
}

/** Adds an op of this replica. Each waits for the one before it: NCCL needs one order at all replicas. */
function collective(
  op: string,
  input: GraphOutput | undefined,
  { algorithm, attributes = [], more = [] }: ExchangeOptions = {},
): GraphOutput {
  const { graph, recording, replicas, device, scope, targets } = currentTrace();
  // The NaN finder runs the ops up to here; an exchange of which it ran a part would wait for ever.
  recording.isUpdating = true;
  const { collectives } = device;
  const number = (value: number): GraphOutput => graph.constant(DT.int32, [], Int32Array.of(value));
  const inputs = [
    ...(input ? [input] : []),
    number(replicas.count),
    number(GROUP),
    number(instanceKey(scope, collectives.length)),
    ...more,
  ];
  const hint = algorithm ?? (replicas.areGpus ? 'nccl' : 'ring');
  const output = graph.output(op, inputs, {
    attributes: [...attributes, stringAttr('communication_hint', hint), seconds('timeout_seconds', 0)],
    after: collectives.slice(-1),
  });
  collectives.push(output.oper);
  // It runs although nothing may depend on its result at this replica: the others wait for it.
  targets.push(output.oper);
  return output;
}

const seconds = (name: string, value: number): Attribute => ({ name, type: ATTR.float, value });

/** The key of a function's exchange number `ordinal`: above 0, and the same in every process. */
const instanceKey = (scope: string, ordinal: number): number =>
  1 + ((graphSeed('exchange', scope, ordinal)[0] as number) & 0x3fff_ffff);

/** TensorFlow knows the number of replicas at run time only, so it infers no shape. */
function shaped(output: GraphOutput, shape: readonly number[]): GraphOutput {
  const { graph } = currentTrace();
  const dimensions = graph.constant(DT.int32, [shape.length], Int32Array.from(shape));
  return graph.output('Reshape', [output, dimensions]);
}
