// Captioned pictures of a folder as tokens in memory, for training without token shards.

import { decodePicture } from '../data/decode.ts';
import { Faults } from '../data/faults.ts';
import { readPictures } from '../data/pictures.ts';
import type { DvaeCodec } from '../models/dvae/codec.ts';
import { InterruptedError } from '../util/errors.ts';
import type { RunContext } from './run-context.ts';
import type { CaptionedCodes } from './token-batches.ts';

/** Pictures decoded at a time. */
const CHUNK = 256;

export async function encodeFolder(
  path: string,
  codec: DvaeCodec,
  { log, progress, signal }: RunContext,
): Promise<CaptionedCodes> {
  const pictures = await readPictures(path, { captions: 'required' });
  const faults = new Faults(log);
  const size = codec.config.imageSize;
  const keys: string[] = [];
  const captions: string[] = [];
  const parts: Int32Array[] = [];
  progress.start('tokenizing', pictures.length);
  for (let start = 0; start < pictures.length; start += CHUNK) {
    if (signal.aborted)
      throw new InterruptedError('stopped while tokenizing', {
        where: path,
        fix: 'mm tokenize keeps its work; train with data.tokens',
      });
    const chunk = pictures.slice(start, start + CHUNK);
    const decoded = await Promise.all(
      chunk.map((picture) =>
        faults.guard(picture, () => decodePicture(picture, { size, grid: codec.grid, crop: 'center' })),
      ),
    );
    const whole: Uint8Array[] = [];
    for (const [i, pixels] of decoded.entries()) {
      if (!pixels) continue;
      whole.push(pixels);
      keys.push(chunk[i]!.key);
      captions.push(chunk[i]!.caption as string);
    }
    parts.push(await codec.encode(Buffer.concat(whole)));
    progress.update(start + chunk.length);
  }
  progress.stop();
  faults.summarize();
  const length = codec.grid ** 2;
  const codes = new Uint16Array(keys.length * length);
  let at = 0;
  for (const part of parts) {
    codes.set(part, at);
    at += part.length;
  }
  return { keys, captions, codes };
}
