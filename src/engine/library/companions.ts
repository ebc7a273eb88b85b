// NVIDIA's CUDA libraries, which come as wheels of their own: which ones a tensorflow wheel asks for, and the order
// in which they are loaded.

import { basename } from 'node:path';
import type { WheelRequest } from './wheel.ts';

// pip that is told a platform takes it literally: each older name for the same thing has to be given too.
const PLATFORMS = [
  ...Array.from({ length: 23 }, (_, i) => `manylinux_2_${27 - i}_x86_64`),
  'manylinux1_x86_64',
  'manylinux2010_x86_64',
  'manylinux2014_x86_64',
];

/** The CUDA wheels that a `tensorflow` wheel's METADATA asks for (its extra `and-cuda`). */
export function companionWheels(metadata: string): WheelRequest[] {
  const lines = metadata.split(/\r?\n/).filter((line) => /^Requires-Dist:.*;.*\band-cuda\b/.test(line));
  return lines.map((line) => ({
    requirement: line.replace(/^Requires-Dist:|;.*$/g, '').replace(/[\s()]/g, ''),
    platforms: PLATFORMS,
  }));
}

// What TensorFlow and cuDNN open by name, each after those it needs.
const LOADED = [
  'cudart',
  'nvrtc',
  'nvJitLink',
  'cublasLt',
  'cublas',
  'cufft',
  'curand',
  'cusparse',
  'cusolver',
  'cupti',
  'nccl',
  'cudnn',
];

/** The CUDA libraries among `paths` that are loaded first, in order. */
export function orderCompanions(paths: readonly string[]): string[] {
  return LOADED.flatMap((stem) =>
    paths.filter((path) => new RegExp(`^lib${stem}\\.so\\.\\d+$`).test(basename(path))),
  );
}
