// `mm setup` as a separate process, with a verification that prints a line and takes a while.
// Parameters: the source, and the duration of the verification in milliseconds.

import { installLibrary } from '../../../../src/engine/library/install.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import { PROBED } from './fake.ts';

const [from, milliseconds] = process.argv.slice(2);
const { changed } = await installLibrary({
  gpu: false,
  from,
  force: false,
  progress: SILENT,
  verify: async () => {
    process.stdout.write('verifying\n');
    await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)));
    return PROBED;
  },
});
process.stdout.write(changed ? 'installed\n' : 'found\n');
