// mm convert on OpenAI's dVAE, as a user calls it.

import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { convertWeights } from '../../src/convert/convert.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { unpack } from '../support/parity.ts';
import { testRefusals } from '../support/refusal.ts';
import { writeImages } from '../support/tiny-dvae.ts';

const mm = mmTogether();
const root = mkdtempSync(join(tmpdir(), 'mm-convert-'));
const other = unpack('openai-a');
const theirs = unpack('openai-b');
after(() => {
  for (const folder of [root, theirs, other]) rmSync(folder, { recursive: true });
});
const encoder = join(theirs, 'encoder.pkl');
const decoder = join(theirs, 'decoder.pkl');

test("a folder of OpenAI's files becomes a checkpoint that other commands use", async () => {
  const dvae = join(root, 'dvae');
  const { code, stdout, stderr } = await mmAlone([
    'convert',
    theirs,
    '--to',
    dvae,
    '--image-size',
    '32',
    '--json',
  ]);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout);
  assert.equal(result.kind, 'dvae');
  assert.equal(result.config.model.vocabulary, 64);
  assert.deepEqual(readdirSync(dvae).sort(), ['config.yaml', 'model.safetensors', 'state.json']);

  const images = join(root, 'images');
  await writeImages(images, 3);
  const tokens = join(root, 'tokens');
  const tokenized = await mm(['tokenize', '--data', images, '--dvae', dvae, '--out', tokens]);
  assert.equal(tokenized.code, 0, tokenized.stderr);
  assert.match(tokenized.stdout, /3 images of 4 × 4 tokens/);
});

test('an interrupted conversion leaves nothing of the checkpoint', async () => {
  const to = join(root, 'interrupted');
  // Ctrl-C when some tensors are written.
  let looks = 0;
  const signal = {
    get aborted() {
      return ++looks > 5;
    },
  } as AbortSignal;
  await assert.rejects(convertWeights([theirs], to, { imageSize: 32 }, signal), {
    name: 'InterruptedError',
    code: 'E_INTERRUPTED',
  });
  assert.equal(looks, 6);
  assert.deepEqual(
    readdirSync(root).filter((name) => name.includes('interrupted')),
    [],
  );
});

describe('mistakes', () => {
  const at = (name: string): string => join(root, name);
  const rudalle = at('pytorch_model.bin');
  before(() => {
    mkdirSync(at('filled'));
    writeFileSync(at('filled/notes.txt'), 'precious');
    mkdirSync(at('empty'));
    mkdirSync(at('mixed'));
    copyFileSync(encoder, at('mixed/encoder.pkl'));
    copyFileSync(join(other, 'decoder.pkl'), at('mixed/decoder.pkl'));
    copyFileSync(join(import.meta.dirname, '../parity/fixtures/rudalle/v3.bin'), rudalle);
    writeFileSync(at('short.pkl'), readFileSync(encoder).subarray(0, 40_000));
    const magic = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.';
    writeFileSync(at('evil.pkl'), Buffer.from(`${magic}\x80\x02cos\nsystem\n\x8c\x02id\x85R.`, 'latin1'));
  });
  const to = at('never');
  testRefusals({
    'a file that is missing': {
      flags: ['convert', at('missing.pkl'), '--to', to],
      exit: EXIT.data,
      code: 'E_NOT_FOUND',
      at: 'missing.pkl',
    },
    'no --to': { flags: ['convert', theirs], exit: EXIT.usage, code: 'E_FLAG_MISSING', at: '--to' },
    'a folder with something in it': {
      flags: ['convert', theirs, '--to', at('filled')],
      exit: EXIT.usage,
      code: 'E_FOLDER_NOT_EMPTY',
      at: 'filled',
    },
    'a file for the folder': {
      flags: ['convert', theirs, '--to', at('short.pkl')],
      exit: EXIT.usage,
      code: 'E_FILE_IN_THE_WAY',
      at: 'short.pkl',
    },
    'a folder without weights': {
      flags: ['convert', at('empty'), '--to', to],
      exit: EXIT.data,
      code: 'E_WEIGHTS_UNKNOWN',
      says: [/encoder\.pkl and decoder\.pkl/],
    },
    'half of a dVAE': {
      flags: ['convert', encoder, '--to', to],
      exit: EXIT.data,
      code: 'E_WEIGHTS_INCOMPLETE',
      says: [/encoder/],
    },
    'halves of two dVAEs': {
      flags: ['convert', at('mixed'), '--to', to],
      exit: EXIT.data,
      code: 'E_CHECKPOINT_MISMATCH',
      says: [/decoder\.input\.weight is \[1,1,40,12\]/],
    },
    'images that the grid does not divide': {
      flags: ['convert', theirs, '--to', to, '--image-size', '30'],
      exit: EXIT.usage,
      code: 'E_OPTION_VALUE',
      says: [/--image-size: .*multiple of 8/],
    },
    'an image size that is none': {
      flags: ['convert', theirs, '--to', to, '--image-size', '2.5'],
      exit: EXIT.usage,
      code: 'E_OPTION_VALUE',
      at: '--image-size',
      says: [/received 2\.5/],
    },
    'a file cut short': {
      flags: ['convert', at('short.pkl'), decoder, '--to', to],
      exit: EXIT.data,
      code: 'E_FILE_DAMAGED',
      at: /short\.pkl/,
    },
    'a ruDALL-E whose version nothing says': {
      flags: ['convert', rudalle, '--to', to, '--heads', '3'],
      exit: EXIT.usage,
      code: 'E_RUDALLE_VERSION',
      at: /pytorch_model\.bin/,
      says: [/--rudalle to v3 .*Emojich/],
    },
    'a pickle that would run a command': {
      flags: ['convert', at('evil.pkl'), '--to', to],
      exit: EXIT.data,
      code: 'E_PICKLE_UNSUPPORTED',
      at: /evil\.pkl, byte \d+/,
      says: [/os\.system/, /torch\.save\(model\.state_dict/],
    },
  });

  test('no refused command writes anything', () => {
    assert.ok(!existsSync(to));
    assert.deepEqual(readdirSync(at('filled')), ['notes.txt']);
  });
});
