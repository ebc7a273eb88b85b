// WebDataset tars for the tests.

import { buffer } from 'node:stream/consumers';
import tar from 'tar-stream';

/** The bytes of a tar with these members, in their order. */
export async function packTar(members: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, data] of Object.entries(members))
    pack.entry({ name, mtime: new Date(0) }, data as Buffer);
  pack.finalize();
  return buffer(pack);
}
