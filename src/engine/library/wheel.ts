// The Python wheel with libtensorflow for a machine: projects, platform tags and the names of wheel files.

import { EngineError, UsageError } from '../../util/errors.ts';

/** The TensorFlow release that mm is built and tested with. */
export const TENSORFLOW_VERSION = '2.21.0';

/** A download for pip: a requirement and the platform tags it may have. */
export interface WheelRequest {
  readonly requirement: string;
  readonly platforms: readonly string[];
}

/** The parts of a wheel's file name that are used here. */
export interface WheelName {
  readonly project: string;
  readonly version: string;
  readonly platforms: readonly string[];
}

interface Machine {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
}

/**
 * The wheel with libtensorflow for a machine.
 * @throws EngineError when none is published for it; UsageError when it has no CUDA build
 */
export function libraryWheel(gpu: boolean, { platform, arch }: Machine = process): WheelRequest {
  const machine = `${platform}-${arch}`;
  if (gpu && machine !== 'linux-x64') {
    throw new UsageError(`TensorFlow is published with CUDA for linux-x64 only; this is ${machine}`, {
      code: 'E_NO_CUDA_BUILD',
      fix: 'mm setup, without --gpu',
    });
  }
  const wheel = (project: string, tag: string): WheelRequest => ({
    requirement: `${project}==${TENSORFLOW_VERSION}`,
    platforms: [tag],
  });
  switch (machine) {
    case 'linux-x64':
      return wheel(gpu ? 'tensorflow' : 'tensorflow-cpu', 'manylinux_2_27_x86_64');
    case 'linux-arm64':
      return wheel('tensorflow', 'manylinux_2_27_aarch64');
    case 'darwin-arm64':
      return wheel('tensorflow', 'macosx_12_0_arm64');
    default:
      throw new EngineError(`no libtensorflow ${TENSORFLOW_VERSION} is published for ${machine}`, {
        code: 'E_NO_BUILD',
        fix: 'use Linux (x64, arm64; WSL on Windows) or macOS (arm64), or another build: mm setup --from FOLDER',
      });
  }
}

/** The project of a requirement, spelt as in wheel names: `nvidia-nccl-cu12<3.0` → `nvidia_nccl_cu12`. */
export function projectOf(requirement: string): string {
  return spelling(/^[\w.-]*\w/.exec(requirement)?.[0] ?? requirement);
}

/** Parses the file name of a wheel (PEP 427); undefined for other names. */
export function parseWheelName(name: string): WheelName | undefined {
  const parts = /^([^-]+)-([^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-([^-]+)\.whl$/.exec(name);
  return parts === null
    ? undefined
    : {
        project: spelling(parts[1] as string),
        version: parts[2] as string,
        platforms: (parts[3] as string).split('.'),
      };
}

/** True when a wheel is for this operating system and processor. */
export function fitsMachine({ platforms }: WheelName, { platform, arch }: Machine = process): boolean {
  const system = platform === 'darwin' ? 'macosx' : platform === 'linux' ? 'linux' : 'win';
  const processors = arch === 'x64' ? ['x86_64', 'amd64'] : ['aarch64', 'arm64'];
  if (platform === 'darwin') processors.push('universal2');
  return platforms.some((tag) => tag.includes(system) && processors.some((name) => tag.endsWith(name)));
}

const spelling = (project: string): string => project.toLowerCase().replace(/[-_.]+/g, '_');
