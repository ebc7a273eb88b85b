// One data set for mm train-dalle, as images and as token shards: the same images are left out.

import assert from 'node:assert/strict';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXIT } from '../../src/util/errors.ts';
import { mmTogether } from '../support/mm-each.ts';
import { tinyDalle } from '../support/tiny-dalle.ts';
import { digests } from '../support/tiny-runs.ts';

const mm = mmTogether();
const { root, path, dvae, train } = tinyDalle('train-sources', 2);
const data = join(root, 'one-bare');
const tokens = join(root, 'one-bare-tokens');
const model = 'checkpoints/step-2/model.safetensors';

/** Called by the first test: the data are there once the hooks have run. */
function copyData(): void {
  cpSync(path, data, { recursive: true });
  const captions = (readdirSync(data, { recursive: true }) as string[]).filter((name) =>
    name.endsWith('.txt'),
  );
  rmSync(join(data, captions.sort()[0] as string));
}

test('an image without a caption is left out and said, from images and from token shards; both train the same', async () => {
  copyData();
  const fromImages = await train(join(root, 'images-run'), ['--data', data]);
  assert.equal(fromImages.code, 0, fromImages.stderr);
  assert.match(fromImages.stderr, /1 image without a caption, such as .*\.png/);
  const tokenized = await mm(['tokenize', '--data', data, '--dvae', dvae, '--out', tokens]);
  assert.equal(tokenized.code, 0, tokenized.stderr);
  // A folder of token shards is known by what is in it.
  const fromTokens = await train(join(root, 'tokens-run'), ['--data', tokens]);
  assert.equal(fromTokens.code, 0, fromTokens.stderr);
  assert.match(fromTokens.stderr, /1 image without a caption/);
  assert.equal(digests(join(root, 'tokens-run'))[model], digests(join(root, 'images-run'))[model]);
});

test('--max-bad is the share beyond which the run is refused', async () => {
  const { code, stderr } = await train(join(root, 'refused'), ['--data', data, '--max-bad', '1%']);
  assert.equal(code, EXIT.data, stderr);
  assert.match(
    stderr,
    /1 of 14 images cannot be used, more than 1 %[\s\S]*--max-bad[\s\S]*E_TOO_MANY_FAULTS/,
  );
});
