// CLIP features of image files.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readCheckpoint } from '../../../src/checkpoint/read.ts';
import { Faults } from '../../../src/data/sources/faults.ts';
import { readImages } from '../../../src/data/sources/resolve.ts';
import { parseDevices } from '../../../src/engine/session/devices.ts';
import { onEachDevice, withEachDevice } from '../../../src/engine/session/each-device.ts';
import { ClipPipeline } from '../../../src/inference/clip/pipeline.ts';
import { type EmbeddedImages, embedImages } from '../../../src/inference/jobs/embed.ts';
import { createLogger } from '../../../src/util/logger.ts';
import { writeTinyClip } from '../../support/tiny-clip.ts';
import { writeImages } from '../../support/tiny-dvae.ts';
import { writeTokenizer } from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-embed-'));
const [path, clip, tokenizer] = ['images', 'clip', 'tokenizer.json'].map((name) => join(root, name)) as [
  string,
  string,
  string,
];
before(async () => {
  await writeImages(path, 70);
  await writeTokenizer(tokenizer, path);
  await writeTinyClip(clip, tokenizer);
});
after(() => rmSync(root, { recursive: true }));

async function features(devices: string | undefined): Promise<EmbeddedImages<unknown>> {
  const checkpoint = await readCheckpoint(clip, { kind: 'clip', warn: assert.fail });
  const images = await readImages(path, { captions: 'required' });
  return withEachDevice(parseDevices(devices), async (runtimes) => {
    assert.equal(runtimes.length, devices?.split(',').length ?? 1);
    const clips = await onEachDevice(runtimes, (runtime) => ClipPipeline.open(runtime, checkpoint));
    const faults = new Faults(createLogger('silent'));
    const signal = new AbortController().signal;
    return embedImages(clips, images, { cache: undefined, faults, onProgress: () => {}, signal });
  });
}

test('features of images that two devices share are those of one, in the order of the images', async () => {
  const [shared, alone] = [await features('cpu:0,cpu:1'), await features(undefined)];
  assert.equal(shared.images.length, 70);
  assert.deepEqual(shared, alone);
});
