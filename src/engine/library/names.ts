// File names of libtensorflow on each operating system.

import { basename } from 'node:path';

/** File names of TensorFlow's two shared libraries; the first name in `tensorflow` that exists is used. */
export interface LibraryNames {
  readonly framework: string;
  /** Names of the library that exports the C API: in the pip wheel, then in the C tarball. */
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

/** The framework and the main library among `paths`; undefined when one of them is missing. */
export function pickLibraries(
  paths: readonly string[],
  names: LibraryNames = libraryNames(),
): { framework: string; tensorflow: string } | undefined {
  const find = (name: string) => paths.find((path) => basename(path) === name);
  const framework = find(names.framework);
  const tensorflow = names.tensorflow.map(find).find((path) => path !== undefined);
  return framework === undefined || tensorflow === undefined ? undefined : { framework, tensorflow };
}
