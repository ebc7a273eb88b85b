// The flags of the commands that use a trained CLIP, and opening it.

import { join } from 'node:path';
import type { Argv } from 'yargs';
import type { ImageFile } from '../data/image.ts';
import type { Faults } from '../data/sources/faults.ts';
import { InterruptedError, UsageError } from '../util/errors.ts';
import type { Context } from './command.ts';
import { deviceFlag, dvaeFlag, TEXT } from './help.ts';
import { type SourceFlags, sourceFlags } from './source-flags.ts';

export interface ClipFlags extends SourceFlags {
  clip: string;
  dvae: string | undefined;
  cache: boolean;
  truncate: boolean;
  devices: string | undefined;
  probabilities?: 'softmax' | 'sigmoid' | undefined;
}

export function clipFlags<T>(yargs: Argv<T>) {
  return sourceFlags(yargs)
    .positional('images', {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'image files, folders of images, WebDataset tars, lists; with --dvae token shards',
    })
    .option('clip', {
      ...TEXT,
      demandOption: true,
      alias: 'clip_path',
      describe: 'CLIP: a checkpoint, a run of mm train-clip, or what mm convert wrote',
    })
    .option('dvae', { ...dvaeFlag, describe: `${dvaeFlag.describe}; decodes token shards among the images` })
    .option('cache', {
      type: 'boolean',
      default: true,
      describe: "keep the images' features in the cache folder; --no-cache computes them again",
    })
    .option('truncate', {
      type: 'boolean',
      default: false,
      describe: 'cut texts longer than the model reads; otherwise they are an error',
    })
    .option('devices', deviceFlag('the images'))
    .option('probabilities', {
      choices: ['softmax', 'sigmoid'] as const,
      defaultDescription: 'as the CLIP was trained',
      describe:
        "what the probabilities have to be: a softmax over what is compared, or each pair's sigmoid (SigLIP); another CLIP is an error",
    });
}

/** @throws UsageError where the probabilities of a CLIP are not those that are asked for */
function assertProbabilities(loss: 'softmax' | 'sigmoid', { clip: path, probabilities }: ClipFlags): void {
  if (probabilities === undefined || probabilities === loss) return;
  const trained =
    loss === 'sigmoid'
      ? 'it was trained with the sigmoid loss (SigLIP), by which each image and text have a probability for themselves'
      : 'it was trained with the softmax loss, and has no bias of the logits that a sigmoid needs';
  throw new UsageError(`this CLIP has no ${probabilities} probabilities: ${trained}`, {
    code: 'E_PROBABILITIES',
    option: 'probabilities',
    where: path,
    fix: `leave \`probabilities\` out, or name a CLIP with model.loss: ${probabilities}`,
  });
}

/** Calls `use` with the CLIP and a function that encodes images; closes everything afterwards. */
export async function withClip<R>(
  flags: ClipFlags,
  { log, progress, signal }: Context,
  faults: Faults,
  use: (tools: {
    clip: import('../inference/clip/pipeline.ts').ClipPipeline;
    embed: <P extends ImageFile>(
      images: readonly P[],
    ) => Promise<import('../inference/jobs/embed.ts').EmbeddedImages<P>>;
  }) => Promise<R>,
): Promise<R> {
  const { clip: path, cache: isCached } = flags;
  const [
    { readCheckpoint },
    { cacheFolder },
    { parseDevices },
    { onEachDevice, withEachDevice },
    { embedImages },
    { EmbeddingCache },
    { ClipPipeline },
  ] = await Promise.all([
    import('../checkpoint/read.ts'),
    import('../engine/library/locate.ts'),
    import('../engine/session/devices.ts'),
    import('../engine/session/each-device.ts'),
    import('../inference/jobs/embed.ts'),
    import('../inference/jobs/embedding-cache.ts'),
    import('../inference/clip/pipeline.ts'),
  ]);
  const devices = parseDevices(flags.devices);
  const checkpoint = await readCheckpoint(path, { kind: 'clip', warn: (message) => log.warn(message) });
  try {
    return await withEachDevice(devices, async (runtimes) => {
      const clips = await onEachDevice(runtimes, (runtime) => ClipPipeline.open(runtime, checkpoint));
      const [clip] = clips;
      assertProbabilities(clip.logits.loss, flags);
      const cache = isCached
        ? await EmbeddingCache.open(join(cacheFolder(), 'features'), clip.hash, clip.config.embedding)
        : undefined;
      try {
        return await use({
          clip,
          embed: async (images) => {
            progress.start('encoding images', images.length);
            const embedded = await embedImages(clips, images, {
              cache,
              faults,
              onProgress: (done) => progress.update(done),
              signal,
            });
            progress.stop();
            log.debug(`${embedded.cached} of ${images.length} features were in the cache`);
            return embedded;
          },
        });
      } finally {
        await cache?.close();
      }
    });
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped while encoding images', {
      code: 'E_INTERRUPTED',
      fix: isCached ? 'run it again: the features so far are in the cache' : 'run it again',
    });
  } finally {
    faults.summarize();
  }
}
