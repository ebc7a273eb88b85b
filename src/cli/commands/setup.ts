// mm setup: puts libtensorflow in the cache.

import { installLibrary } from '../../engine/library/install.ts';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .option('gpu', {
        type: 'boolean',
        default: false,
        describe: 'the CUDA build with the CUDA libraries it needs (Linux x64; about 3 GB to fetch)',
      })
      .option('from', {
        type: 'string',
        requiresArg: true,
        describe: 'take it from a wheel, a folder or an archive; needs no network',
      })
      .option('force', { type: 'boolean', default: false, describe: 'replace what is there' })
      .example('$0 setup', 'fetch libtensorflow (0.3 GB) with pip')
      .example('$0 setup --from tensorflow_cpu-2.21.0-….whl', 'without network'),

  async run({ gpu, from, force }, { json, print, log, progress, signal }) {
    const { library, changed } = await installLibrary({ gpu, from, force, progress, signal });
    const build = library.gpu ? 'with CUDA' : 'for the CPU';
    print(`libtensorflow ${library.version} ${build} is ${changed ? 'now' : 'already'} in ${library.folder}`);
    if (!changed && from !== undefined) print(`it was kept as it is; mm setup --force replaces it`);
    json({ folder: library.folder, version: library.version, gpu: library.gpu, changed });
    if (process.env.MM_TENSORFLOW)
      log.warn(`MM_TENSORFLOW is set: mm uses ${process.env.MM_TENSORFLOW} instead`);
  },
});
