// Downloads libtensorflow: TensorFlow's wheel and, for the CUDA build, the wheels that it requires.

import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { companionWheels } from './companions.ts';
import { type DownloadOptions, downloadWheel } from './download.ts';
import { findPip } from './python.ts';
import { archive, type Source, wheelMetadata } from './source.ts';
import { assertFreeSpace } from './storage.ts';
import { libraryWheel, type WheelRequest } from './wheel.ts';

// Bytes for the wheel, pip's copy of it and the unpacked files.
const REQUIRED_BYTES = { cpu: 1.6e9, gpu: 9e9 };

/**
 * Downloads one wheel at a time into `work`; each is deleted when the next is requested.
 * @throws EngineError when pip is missing or cannot download; DataError when the disk is full; UsageError when there is
 *   no CUDA build
 */
export async function* fetchSources(
  work: string,
  { gpu, ...options }: DownloadOptions & { readonly gpu: boolean },
): AsyncGenerator<Source> {
  const request = libraryWheel(gpu);
  const pip = await findPip();
  await assertFreeSpace(dirname(work), gpu ? REQUIRED_BYTES.gpu : REQUIRED_BYTES.cpu);
  const folder = join(work, 'fetched');
  const fetch = (wanted: WheelRequest) => downloadWheel(pip, wanted, folder, options);
  const wheel = await fetch(request);
  const companions = gpu ? companionWheels(await wheelMetadata(wheel)) : [];
  yield archive(wheel);
  for (const companion of companions) {
    await rm(folder, { recursive: true });
    yield archive(await fetch(companion));
  }
}
