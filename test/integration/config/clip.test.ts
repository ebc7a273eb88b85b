import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ClipConfig, clipSchema } from '../../../src/config/clip.ts';
import { dumpConfig, loadConfig } from '../../../src/config/load.ts';
import { clipSpec } from '../../../src/models/clip/model.ts';
import { countParameters } from '../../../src/nn/parameters.ts';

const FOLDER = fileURLToPath(new URL('../../../configs/clip', import.meta.url));
const load = (name: string): ClipConfig => loadConfig(clipSchema, { file: join(FOLDER, `${name}.yaml`) });

describe('configs/clip', () => {
  // openai/CLIP's models and transformers' SiglipModel, parameters as torch counts them: running statistics are buffers there.
  const STATISTICS = { rn50: 53_248 } as const;
  for (const [name, parameters] of [
    ['rn50', 102_007_137 + STATISTICS.rn50],
    ['vit-b-32', 151_277_313],
    ['vit-l-14', 427_616_513],
    ['siglip-b-16', 203_155_970],
  ] as const) {
    test(`${name} has as many parameters as the published one`, () =>
      assert.equal(countParameters(clipSpec(load(name).model)), parameters));
  }

  test('every file says what a resumed run compares in the same order again', () => {
    for (const file of readdirSync(FOLDER)) {
      const config = load(file.replace('.yaml', ''));
      const again = clipSchema.parse(JSON.parse(JSON.stringify(config)));
      assert.equal(JSON.stringify(again), JSON.stringify(config), file);
      assert.equal(dumpConfig(again), dumpConfig(config));
    }
  });
});

test('sizes that do not fit are refused with what they must be', () => {
  const refused = (model: object, says: RegExp): void => {
    const data = { path: 'x', tokenizer: 'x' };
    const train = { steps: 1, batch: 2, optimizer: { learningRate: { peak: 1 } } };
    const result = clipSchema.safeParse({ data, train, model });
    assert.match(result.error?.issues[0]?.message ?? 'accepted', says);
  };
  refused({ image: { size: 30, patch: 8 } }, /multiple of 8/);
  refused({ image: { tower: 'resnet', size: 40, width: 64 } }, /multiple of 32, the stride of a resnet/);
  refused({ text: { width: 10, heads: 4 } }, /divide the width of the attention \(10\); received 4/);
  refused({ architecture: 'dalle-pytorch', image: { tower: 'resnet', size: 32 } }, /vit for architecture/);
});
