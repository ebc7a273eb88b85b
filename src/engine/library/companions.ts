// NVIDIA's CUDA libraries, which are separate wheels: the ones that a tensorflow wheel requires, and their load order.

import { basename } from 'node:path';
import type { WheelRequest } from './wheel.ts';

// pip takes platform names literally: each older name of the same platform has to be given too.
const PLATFORMS = [
  ...Array.from({ length: 23 }, (_, i) => `manylinux_2_${27 - i}_x86_64`),
  'manylinux1_x86_64',
  'manylinux2010_x86_64',
  'manylinux2014_x86_64',
];

/** The CUDA wheels that the METADATA of a `tensorflow` wheel requires (its extra `and-cuda`). */
export function companionWheels(metadata: string): WheelRequest[] {
  const lines = metadata.split(/\r?\n/).filter((line) => /^Requires-Dist:.*;.*\band-cuda\b/.test(line));
  return lines.map((line) => ({
    requirement: line.replace(/^Requires-Dist:|;.*$/g, '').replace(/[\s()]/g, ''),
    platforms: PLATFORMS,
  }));
}

// Libraries that TensorFlow and cuDNN open by name, each after its dependencies.
const LOAD_ORDER = [
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

/** The CUDA libraries among `paths` to load before TensorFlow, in load order. */
export function orderCompanions(paths: readonly string[]): string[] {
  return LOAD_ORDER.flatMap((stem) =>
    paths.filter((path) => new RegExp(`^lib${stem}\\.so\\.\\d+$`).test(basename(path))),
  );
}
