// Training runs of tiny models in this process: seconds each, with every source of randomness in use.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { type ClipConfig, clipSchema } from '../../src/config/clip.ts';
import { type DalleConfig, dalleSchema } from '../../src/config/dalle.ts';
import { type DvaeConfig, dvaeSchema } from '../../src/config/dvae.ts';
import { readImages } from '../../src/data/sources/resolve.ts';
import { parseDevices } from '../../src/engine/session/devices.ts';
import { trainBpe } from '../../src/tokenizers/train.ts';
import { trainClip } from '../../src/train/clip/train.ts';
import { trainDalle } from '../../src/train/dalle/train.ts';
import { trainDvae } from '../../src/train/dvae/train.ts';
import type { LoopResult } from '../../src/train/loop/loop.ts';
import type { RunContext } from '../../src/train/loop/run-context.ts';
import { createLogger } from '../../src/util/logger.ts';
import { SILENT } from '../../src/util/progress.ts';
import { TINY, writeImages, writeTinyDvae } from './tiny-dvae.ts';

/** Validation, checkpoints and the log fall on the same steps and on different ones. */
const SCHEDULE = { steps: 10, batch: 4, logEvery: 3, evaluateEvery: 4, saveEvery: 6 };

export const WARM_START = { steps: 5, width: 4, images: 8 };

/** A dVAE's run on the images in `data`. */
export function dvaeConfig(data: string, seed = 0, train: object = {}): DvaeConfig {
  return dvaeSchema.parse({
    seed,
    data: { path: data, validation: 0.2 },
    model: TINY,
    train: {
      ...SCHEDULE,
      optimizer: { learningRate: { peak: 2e-3, warmup: 3 }, weightDecay: 0.01 },
      ema: { decay: 0.9 },
      kl: { weight: 1, steps: 5 },
      ...train,
    },
  });
}

/** The ids of the tokenizer that `writeTokenizer` makes, at most. */
const TEXT_VOCABULARY = 264;

/** Trains a tokenizer on the captions in `data` and writes it to `path`. */
export async function writeTokenizer(path: string, data: string): Promise<void> {
  const images = await readImages(data, { captions: 'required' });
  const captions = images.map(({ captions: [caption] }) => caption as string);
  await (await trainBpe(captions, { vocabulary: TEXT_VOCABULARY })).save(path);
}

export interface DalleData {
  /** Folder of captioned images. */
  readonly path: string;
  readonly dvae: string;
  readonly tokenizer: string;
}

/** Where `writeDalleData` writes under a folder. */
export const dalleDataIn = (root: string): DalleData => ({
  path: join(root, 'images'),
  dvae: join(root, 'dvae'),
  tokenizer: join(root, 'tokenizer.json'),
});

/** Writes captioned images, a dVAE, and a tokenizer of the captions. */
export async function writeDalleData(root: string, images: number): Promise<DalleData> {
  const data = dalleDataIn(root);
  await writeImages(data.path, images);
  await writeTinyDvae(data.dvae);
  await writeTokenizer(data.tokenizer, data.path);
  return data;
}

/** A joint Transformer's run. */
export function dalleConfig(data: DalleData, seed = 0, train: object = {}): DalleConfig {
  return dalleSchema.parse({
    seed,
    data: { ...data, validation: 0.2 },
    model: {
      textLength: 12,
      textVocabulary: TEXT_VOCABULARY,
      grid: 4,
      imageVocabulary: TINY.vocabulary,
      width: 16,
      layers: 2,
      heads: 2,
      attention: ['row', 'column'],
    },
    train: {
      ...SCHEDULE,
      optimizer: { learningRate: { peak: 3e-3, warmup: 3 }, weightDecay: 0.01, clipNorm: 1 },
      ema: { decay: 0.9 },
      nullCaptions: 0.2,
      recompute: 'none',
      samples: { count: 2 },
      ...train,
    },
  });
}

export interface ClipOptions {
  readonly seed?: number;
  /** Over the keys of each section. */
  readonly data?: object;
  readonly model?: object;
  readonly train?: object;
}

/** A CLIP's run, with random crops. */
export function clipConfig(
  data: Pick<DalleData, 'path' | 'tokenizer'>,
  { seed = 0, ...over }: ClipOptions = {},
): ClipConfig {
  return clipSchema.parse({
    seed,
    data: { ...data, validation: 0.2, ...over.data },
    model: {
      embedding: 8,
      image: { size: 16, patch: 8, width: 16, layers: 1, heads: 2 },
      text: { vocabulary: TEXT_VOCABULARY + 2, length: 12, width: 16, layers: 1, heads: 2 },
      ...over.model,
    },
    train: {
      ...SCHEDULE,
      recompute: 'light',
      optimizer: { learningRate: { peak: 3e-3, warmup: 3 }, weightDecay: 0.2, beta2: 0.98 },
      ema: { decay: 0.9 },
      ...over.train,
    },
  });
}

export interface SessionOptions {
  readonly resume?: boolean;
  /** The event to press Ctrl-C at: the label of a progress bar, and the units done. */
  readonly stop?: { readonly label: string; readonly at: number };
  readonly cluster?: Cluster;
  /** Such as `cpu:0,cpu:1`. */
  readonly devices?: string;
}

function sessionContext(
  path: string,
  { resume = false, stop, cluster, devices }: SessionOptions,
): RunContext {
  const controller = new AbortController();
  let current = '';
  return {
    path,
    resume,
    log: createLogger('error'),
    progress: {
      ...SILENT,
      stop: () => {},
      note: () => {},
      start: (label) => {
        current = label;
        if (stop && current === stop.label && stop.at === 0) controller.abort();
      },
      update: (done) => {
        if (stop && current === stop.label && done === stop.at) controller.abort();
      },
    },
    signal: controller.signal,
    cluster,
    devices: parseDevices(devices),
  };
}

export type TrainSession = (path: string, options?: SessionOptions) => Promise<LoopResult>;

/** Sessions of a dVAE's run, each in the folder it is given. */
export const dvaeSession =
  (config: DvaeConfig): TrainSession =>
  (path, options = {}) =>
    trainDvae(config, sessionContext(path, options));

/** Sessions of a joint Transformer's run. */
export const dalleSession =
  (config: DalleConfig): TrainSession =>
  (path, options = {}) =>
    trainDalle(config, sessionContext(path, options));

/** Sessions of a CLIP's run. */
export const clipSession =
  (config: ClipConfig): TrainSession =>
  (path, options = {}) =>
    trainClip(config, sessionContext(path, options));

/** The SHA-256 of every file under a folder, by its path in it. */
export function digests(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return Object.fromEntries(
    files
      .map((file) => {
        const path = join(file.parentPath, file.name);
        const name = path
          .slice(folder.length + 1)
          .split(sep)
          .join('/');
        return [name, createHash('sha256').update(readFileSync(path)).digest('hex')] as const;
      })
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** What a run leaves that tells neither times nor sessions: all but TensorBoard's events and the log. */
export const lasting = (run: string): Record<string, string> =>
  Object.fromEntries(Object.entries(digests(run)).filter(([name]) => !/^(events\/|log\.jsonl$)/.test(name)));
