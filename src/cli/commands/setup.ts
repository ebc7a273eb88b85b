// mm setup: installs libtensorflow into the cache.

import { installLibrary } from '../../engine/library/install.ts';
import { defineCommand } from '../command.ts';
import { TEXT, withExamples } from '../help.ts';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .option('gpu', {
          type: 'boolean',
          default: false,
          describe:
            'install the CUDA build and the CUDA libraries it needs (Linux x64; downloads about 3 GB)',
        })
        .option('from', {
          ...TEXT,
          defaultDescription: 'a download by pip',
          describe: 'wheel, archive or folder to install from, without network',
        })
        .option('force', {
          type: 'boolean',
          default: false,
          describe: 'replace an installed library',
        }),
      [
        ['downloads libtensorflow (0.3 GB) with pip', 'setup'],
        ['without network', 'setup --from tensorflow_cpu-2.21.0-….whl'],
      ],
    ),

  async run({ gpu, from, force }, { json, print, log, progress, signal }) {
    const { library, changed } = await installLibrary({ gpu, from, force, progress, signal });
    const build = library.gpu ? 'with CUDA' : 'for the CPU';
    print(`libtensorflow ${library.version} ${build} is ${changed ? 'now' : 'already'} in ${library.folder}`);
    if (!changed && from !== undefined) print('it was not changed; mm setup --force replaces it');
    json({ folder: library.folder, version: library.version, gpu: library.gpu, changed });
    if (process.env.MM_TENSORFLOW)
      log.warn(`MM_TENSORFLOW is set: mm uses ${process.env.MM_TENSORFLOW} instead`);
  },
});
