// What libtensorflow's files are called on each operating system.

import { basename } from 'node:path';

/** File names of TensorFlow's two shared libraries; the first of `tensorflow` that is there is used. */
export interface LibraryNames {
  readonly framework: string;
  /** The pip wheel's name for the library that exports the C API, then the C tarball's. */
  readonly tensorflow: readonly string[];
}

/** Names on `platform` (a `process.platform` value). */
export function libraryNames(platform: NodeJS.Platform = process.platform): LibraryNames {
  const named = (stem: string) => (platform === 'darwin' ? `${stem}.2.dylib` : `${stem}.so.2`);
  return {
    framework: named('libtensorflow_framework'),
    tensorflow: [named('libtensorflow_cc'), named('libtensorflow')],
  };
}

/** From `paths`, the framework and the main library; undefined when one of them is not among them. */
export function pickLibraries(
  paths: readonly string[],
  names: LibraryNames = libraryNames(),
): { framework: string; tensorflow: string } | undefined {
  const find = (name: string) => paths.find((path) => basename(path) === name);
  const framework = find(names.framework);
  const tensorflow = names.tensorflow.map(find).find((path) => path !== undefined);
  return framework === undefined || tensorflow === undefined ? undefined : { framework, tensorflow };
}
