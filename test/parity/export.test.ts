// What came in goes out as it was: files that other programs wrote are converted, exported to the format that they came
// in, and compared with themselves, tensor by tensor and setting by setting. With the programs themselves:
// scripts/check/export.ts.

import assert from 'node:assert/strict';
import {
  copyFileSync,
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
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { convertWeights } from '../../src/convert/convert.ts';
import { type ConvertOptions, ExternalFiles } from '../../src/convert/external.ts';
import { toJson } from '../../src/convert/origin.ts';
import { TorchFile } from '../../src/convert/torch/file.ts';
import { exportModel } from '../../src/export/export.ts';
import type { ExportFormat } from '../../src/export/formats.ts';
import { unpack } from '../support/parity.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

interface Case {
  /** Folder of fixtures; `.gz` files are unpacked. */
  readonly from: string;
  /** Of them; all without it. */
  readonly files?: readonly string[];
  readonly to: ExportFormat;
  readonly options?: ConvertOptions;
  /** Names of weights there and here, where files of a folder are compared. */
  readonly weights?: Readonly<Record<string, string>>;
  readonly json?: readonly string[];
  /** Names that the file does not have again, each with the reason. */
  readonly lost?: RegExp;
}

const openClip = (name: string): Case => ({
  from: `open-clip/${name}`,
  to: 'open-clip',
  weights: { 'open_clip_model.safetensors': 'open_clip_model.safetensors' },
  json: ['open_clip_config.json'],
});
const dalle = (name: string): Case => ({
  from: 'dalle-pytorch',
  files: [`${name}.pt`],
  to: 'dalle-pytorch',
});

const CASES: Readonly<Record<string, Case>> = {
  "Hugging Face's CLIP": {
    from: 'clip/transformers',
    to: 'transformers',
    weights: { 'model.safetensors': 'model.safetensors' },
    json: ['config.json', 'preprocessor_config.json'],
  },
  "open_clip's CLIP with a ResNet": openClip('resnet'),
  "open_clip's CLIP with LayerScale": openClip('layer-scale'),
  "open_clip's CLIP of CLIPA's kind": openClip('clipa'),
  "DALLE-pytorch's DiscreteVAE": { from: 'dalle-pytorch-a', files: ['vae.pt'], to: 'dalle-pytorch' },
  "OpenAI's dVAE": {
    from: 'openai-a',
    files: ['encoder.pkl', 'decoder.pkl'],
    to: 'openai',
    weights: { 'encoder.pkl': 'encoder.pkl', 'decoder.pkl': 'decoder.pkl' },
  },
  'a VQGAN': {
    from: 'vqgan/taming',
    to: 'taming',
    weights: { 'last.ckpt': 'last.ckpt' },
    json: ['model.yaml'],
    lost: /^loss\./, // mm convert says that it leaves them out
  },
  'a Gumbel VQGAN': {
    from: 'vqgan/gumbel',
    to: 'taming',
    weights: { 'last.ckpt': 'last.ckpt' },
    json: ['model.yaml'],
    lost: /^loss\./,
  },
  "diffusers' VQModel": {
    from: 'vqgan/diffusers',
    to: 'diffusers',
    weights: { 'diffusion_pytorch_model.safetensors': 'diffusion_pytorch_model.safetensors' },
    json: ['config.json'],
  },
  'a DALL·E': dalle('full'),
  'a DALL·E with every option': dalle('everything'),
  'a DALL·E with rotary positions': dalle('rotary'),
  'a DALL·E with shared layers': dalle('shared'),
  'a DALL·E with token shift': dalle('shift'),
  'a DALL·E with tied embeddings': dalle('tied'),
  'a DALL·E with sandwich norms': dalle('sandwich'),
};

/** Name, type, shape and bytes of each tensor. */
async function tensorsOf(path: string): Promise<Map<string, string>> {
  const files = await ExternalFiles.find([path]);
  try {
    const all = new Map<string, string>();
    for (const { key, tensors } of await files.stateDicts())
      for (const [name, tensor] of tensors) {
        const { data } = await tensor.read();
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
        all.set(`${key} ${name}`, `${tensor.dtype} [${tensor.shape}] ${bytes}`);
      }
    return all;
  } finally {
    await files.close();
  }
}

/** What a file of torch.save has beside its tensors. */
async function settingsOf(path: string): Promise<unknown> {
  const file = await TorchFile.open(path);
  try {
    const top = file.value as Map<string, never>;
    return Object.fromEntries(
      [...top]
        .filter(([key]) => /params|class_name|version/.test(key))
        .map(([key, value]) => [key, toJson(value)]),
    );
  } finally {
    await file.close();
  }
}

let root: string;
let words: string;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'mm-export-'));
  words = join(root, 'words.json');
  const model = { type: 'WordLevel', unk_token: '?', vocab: { '?': 0, a: 1, b: 2 } };
  writeFileSync(words, JSON.stringify({ version: '1.0', added_tokens: [], model }));
});
after(() => rmSync(root, { recursive: true }));

for (const [name, kind] of Object.entries(CASES)) {
  describe(`${name}, in and out`, () => {
    let from: string;
    let out: string;
    before(async () => {
      const folder = mkdtempSync(join(root, 'from-'));
      from = unpack(kind.from);
      for (const file of readdirSync(fixture(kind.from), { withFileTypes: true }))
        if (file.isFile() && !file.name.endsWith('.gz'))
          copyFileSync(join(fixture(kind.from), file.name), join(from, file.name));
      mkdirSync(folder, { recursive: true });
      const checkpoint = join(folder, 'checkpoint');
      const names = kind.files ?? readdirSync(from).filter((file) => file !== 'expected.safetensors');
      const isDalle = kind.from === 'dalle-pytorch';
      const options = { ...kind.options, ...(isDalle && { tokenizer: words }) };
      await convertWeights(
        names.map((file) => join(from, file)),
        checkpoint,
        options,
      );
      out = join(folder, 'out');
      await exportModel(checkpoint, { to: kind.to, out, warn: assert.fail });
    });
    after(() => rmSync(from, { recursive: true }));

    const pairs = (): (readonly [string, string])[] =>
      kind.weights
        ? Object.entries(kind.weights).map(([a, b]) => [join(from, a), join(out, b)])
        : [[join(from, kind.files![0]!), out]];

    test('tensors have the same names, types, shapes and bytes', async () => {
      for (const [before, after] of pairs()) {
        const wanted = await tensorsOf(before);
        for (const entry of wanted.keys())
          if (kind.lost?.test(entry.split(' ').at(-1)!)) wanted.delete(entry);
        assert.ok(wanted.size > 3);
        const made = await tensorsOf(after);
        assert.deepEqual([...made.keys()].sort(), [...wanted.keys()].sort());
        for (const [tensor, bytes] of wanted) assert.ok(made.get(tensor) === bytes, tensor);
      }
    });

    test('settings are the same', async () => {
      const read = (path: string): unknown => parse(readFileSync(path, 'utf8'));
      for (const file of kind.json ?? []) {
        const wanted = read(join(from, file));
        assert.deepEqual(read(join(out, file)), wanted, file);
      }
      if (!kind.weights)
        assert.deepEqual(await settingsOf(out), await settingsOf(join(from, kind.files![0]!)));
    });
  });
}
