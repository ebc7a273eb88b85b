// The machine that figures hold for, and the instruction sets that its libraries may use.

import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { processorFlags } from '../../src/engine/native/processor.ts';

/** Instruction sets from the smallest on, by /proc/cpuinfo's flag. */
const SETS = [
  ['avx2', 'AVX2'],
  ['avx512f', 'AVX-512'],
  ['avx512_bf16', 'AVX-512 with bfloat16'],
  ['amx_bf16', 'AMX'],
] as const;

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  /** What it has; undefined where there is no /proc/cpuinfo. */
  readonly instructions: string | undefined;
  /** What oneDNN and MKL were held to. */
  readonly heldTo: string | undefined;
  readonly system: string;
  readonly node: string;
}

/**
 * Limits of the libraries that choose their kernels when they start; read once, so they are set for sides' processes.
 * Eigen's code is compiled beforehand: its instruction set cannot be chosen.
 */
export const LIMITS: Readonly<Record<string, NodeJS.ProcessEnv>> = {
  avx2: {
    ONEDNN_MAX_CPU_ISA: 'AVX2',
    DNNL_MAX_CPU_ISA: 'AVX2',
    XLA_FLAGS: '--xla_cpu_max_isa=AVX2',
    MKL_ENABLE_INSTRUCTIONS: 'AVX2',
    ATEN_CPU_CAPABILITY: 'avx2',
  },
  avx512: {
    ONEDNN_MAX_CPU_ISA: 'AVX512_CORE',
    DNNL_MAX_CPU_ISA: 'AVX512_CORE',
    XLA_FLAGS: '--xla_cpu_max_isa=AVX512',
    MKL_ENABLE_INSTRUCTIONS: 'AVX512',
    ATEN_CPU_CAPABILITY: 'avx512',
  },
};

/** Whether it multiplies bfloat16, and oneDNN is not held to less. */
export const multipliesBfloat16 = (): boolean =>
  process.env.ONEDNN_MAX_CPU_ISA === undefined &&
  ['avx512_bf16', 'amx_bf16'].some((flag) => processorFlags().has(flag));

export function machine(heldTo: string | undefined): Machine {
  const [cpu] = cpus();
  return {
    processor: [cpu?.model ?? 'unknown', family()].filter(Boolean).join(', '),
    cores: availableParallelism(),
    instructions: instructions(),
    heldTo,
    system: `${process.platform} ${release()}`,
    node: process.version,
  };
}

function cpuinfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}

/** Virtual machines say a processor's brand at most; family and model tell which it is. */
function family(): string {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}\\s*:\\s*(\\d+)`, 'm').exec(cpuinfo())?.[1];
  const [of, model] = [field('cpu family'), field('model')];
  return of && model ? `family ${of} model ${model}` : '';
}

function instructions(): string | undefined {
  return SETS.findLast(([flag]) => processorFlags().has(flag))?.[1];
}
