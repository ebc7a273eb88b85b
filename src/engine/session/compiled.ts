// Types of compiled functions, and the check of their inputs.

import { sizeOf } from '../../util/shape.ts';
import type { Examined } from '../graph/examine.ts';
import type { Precision } from '../graph/precision.ts';
import type { HostTensor } from '../native/tensor.ts';
import type { Tensor } from '../tfjs/tf.ts';
import type { Variable } from '../tfjs/variable.ts';
import type { OpTime } from './op-times.ts';

export interface CompileOptions {
  /** Type of matrix products and convolutions, except of those inside `inFloat32` (graph/precision.ts). */
  readonly precision?: Precision;
  /** Compile with XLA: the first run is slower, later runs may be faster or slower; measure. */
  readonly xla?: boolean;
  /**
   * Run op after op in one thread: for functions of many small ops, which cost more to dispatch than to compute. Runs
   * under 20 ms block the calling thread.
   */
  readonly inOneThread?: boolean;
  /** Variables read at the first run only; `affine` is faster with frozen weights (ops/packed-weights.ts). */
  readonly frozen?: readonly Variable[];
  /**
   * Give the memory of frozen matrices back at the first run, once they are packed: weights are not held twice. No other
   * function may read these variables afterwards, before they are assigned again.
   */
  readonly releases?: boolean;
  /** The device that an input is for; the first one without it. */
  readonly deviceOf?: (input: string) => string | undefined;
}

export type NamedTensors = Readonly<Record<string, Tensor>>;

/** The same names with host tensors. */
export type OnHost<T> = { readonly [K in keyof T]: HostTensor };

export type InputType = Pick<HostTensor, 'dtype' | 'shape'>;

/** A function from host tensors to host tensors. */
export interface Compiled<Inputs, Outputs> {
  /** Runs the function; `times` receives the time of each op. */
  (inputs: OnHost<Inputs>, times?: OpTime[]): Promise<OnHost<Outputs>>;
  /**
   * The NaN finder: names the first float32 tensor, in the order of recording, with an infinite or NaN element for
   * these inputs, by its op, the part of the model and the line. Runs no update, and checks no tensor recorded after
   * the first update.
   */
  firstNonFinite(inputs: OnHost<Inputs>): Promise<string | undefined>;
  /** Builds the function for inputs of these types and shapes, without running it, and returns its nodes. */
  examine(inputs: { readonly [K in keyof Inputs]: InputType }): Examined;
}

/** @throws RangeError when the data of an input does not fill its shape */
export function checkInputs(name: string, inputs: OnHost<NamedTensors>): void {
  for (const [input, { dtype, shape, data }] of Object.entries(inputs)) {
    if (data.length !== sizeOf(shape)) {
      throw new RangeError(
        `${name}: input ${input} is ${dtype}[${shape.join(', ')}], ${sizeOf(shape)} numbers, but has ${data.length}`,
      );
    }
  }
}

/** Names, types and shapes of the inputs, independent of their order. */
export function signatureOf(inputs: Readonly<Record<string, InputType>>): string {
  return Object.entries(inputs)
    .map(([name, { dtype, shape }]) => `${name}: ${dtype}[${shape.join(', ')}]`)
    .sort()
    .join('; ');
}
