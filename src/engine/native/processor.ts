// What the processor multiplies by itself, as oneDNN decides it.

import { readFileSync } from 'node:fs';
import type { DTypeName } from './dtype.ts';

type Precision = Extract<DTypeName, 'float32' | 'bfloat16' | 'float16'>;

/** Flags of /proc/cpuinfo, of which a processor has to have one. */
const NEEDS: Readonly<Record<Exclude<Precision, 'float32'>, readonly string[]>> = {
  bfloat16: ['avx512bw', 'avx_ne_convert'],
  float16: ['avx512_fp16', 'avx_ne_convert'],
};
/** Settings of oneDNN that keep it below AVX-512. */
const HELD_BELOW = /^(SSE41|AVX|AVX2|AVX2_VNNI)$/i;

let flags: ReadonlySet<string> | undefined;

/** Flags of the processor; none where there is no /proc/cpuinfo. */
export function processorFlags(): ReadonlySet<string> {
  if (flags) return flags;
  let text = '';
  try {
    text = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    // Not Linux.
  }
  flags = new Set(/^flags\s*:\s*(.*)$/m.exec(text)?.[1]?.split(' '));
  return flags;
}

/** Whether oneDNN's kernels of float32 are those for AVX-512: the processor has it, and no setting forbids it. */
export const oneDnnTakesAvx512 = (): boolean => !isHeldBelowAvx512() && processorFlags().has('avx512bw');

/** Whether oneDNN's ops have kernels of this precision here; without them, a product of its ops ends the process. */
export const oneDnnMultiplies = (precision: Precision): boolean =>
  precision === 'float32' || (hasInstructions(precision) && !isHeldBelowAvx512());

/**
 * Whether TensorFlow takes oneDNN's ops for this precision, since the processor has the instructions, though oneDNN is
 * held below them: a product then ends the process.
 */
export const endsWithProducts = (precision: Precision): boolean =>
  process.env.TF_ENABLE_ONEDNN_OPTS !== '0' &&
  precision !== 'float32' &&
  hasInstructions(precision) &&
  isHeldBelowAvx512();

const hasInstructions = (precision: keyof typeof NEEDS): boolean =>
  NEEDS[precision].some((flag) => processorFlags().has(flag));

const isHeldBelowAvx512 = (): boolean =>
  HELD_BELOW.test(process.env.ONEDNN_MAX_CPU_ISA ?? process.env.DNNL_MAX_CPU_ISA ?? '');
