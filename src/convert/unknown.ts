// What to say of files that no converter recognizes: what they are, names found in them, and the nearest model.

import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { counted } from '../util/counted.ts';
import { DataError } from '../util/errors.ts';
import type { Converter, ExternalFiles } from './external.ts';

const DEEPSPEED =
  /^(global_step\d+|zero_to_fp32\.py|(bf16_)?zero_pp_rank_\d+.*|mp_rank_\d+_model_states\.pt)$/;
const SHOWN = 3;
const WEIGHTS = /\.(pt|pth|pkl|bin|ckpt|safetensors)$/i;

/** @throws DataError always: the reason why the files cannot be converted */
export async function throwUnknown(files: ExternalFiles, converters: readonly Converter[]): Promise<never> {
  const { where } = files;
  if (await isOfDeepSpeed(files)) throw deepSpeed(where);
  const [fault] = files.faults;
  if (fault) throw fault;
  for (const { path, metadata } of await files.safetensorsFiles())
    if (metadata.format === 'mm')
      throw new DataError('these are weights of mm itself, which need no conversion', {
        code: 'E_WEIGHTS_OWN',
        where: path,
        fix: 'give its checkpoint folder to the command that uses it',
      });
  const dicts = (await files.stateDicts()).filter(({ tensors }) => tensors.size > 0);
  const fix = `give one of: ${converters.map(({ reads }) => reads).join('; ')}`;
  if (dicts.length > 0) {
    const names = dicts.flatMap(({ tensors }) => [...tensors.keys()]);
    const type = await modelType(files.paths.find((path) => basename(path) === 'config.json'));
    const what = type === undefined ? '' : `a model of type ${type} by its config.json; `;
    throw new DataError(
      `the files hold no weights that mm can convert: ${what}${describe(names, converters)}`,
      {
        code: 'E_WEIGHTS_UNKNOWN',
        where,
        fix,
      },
    );
  }
  const named = (await files.others()).find(({ kind }) => kind.name !== undefined);
  if (named)
    throw new DataError(`${named.kind.name}, which mm does not read`, {
      code: 'E_WEIGHTS_UNKNOWN',
      where: named.path,
      fix: named.kind.fix ?? fix,
    });
  const inside = await foldersWithWeights(files.folders);
  throw new DataError('the files hold no weights that mm can convert', {
    code: 'E_WEIGHTS_UNKNOWN',
    where,
    fix: inside.length > 0 ? `give one of the folders in it: ${inside.join(', ')}` : fix,
  });
}

/** `model_type` of transformers' config.json, or `_class_name` of diffusers'. */
async function modelType(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    const { model_type: type, _class_name: className } = JSON.parse(await readFile(path, 'utf8'));
    return [type, className].find((name) => typeof name === 'string');
  } catch {
    return undefined;
  }
}

const deepSpeed = (where: string): DataError =>
  new DataError('a checkpoint of DeepSpeed, whose weights are in parts', {
    code: 'E_WEIGHTS_DEEPSPEED',
    where,
    fix: "make one file of it with DeepSpeed's own script, python zero_to_fp32.py FOLDER weights.pt, and convert that; for DALLE-pytorch put it under `weights` of what auxiliary.pt holds, and torch.save that as dalle.pt",
  });

/** Whether the files are of DeepSpeed, or lie in a folder or beside one that is: DALLE-pytorch's auxiliary.pt does. */
async function isOfDeepSpeed({ folders, paths }: ExternalFiles): Promise<boolean> {
  const around = paths.filter((path) => AUXILIARY.test(basename(path))).map((path) => dirname(path));
  const inside = await Promise.all([...new Set([...folders, ...around])].map((folder) => readdir(folder)));
  const own = [...folders.map((folder) => resolve(folder)), ...paths].map((path) => basename(path));
  return [...own, ...inside.flat()].some((name) => DEEPSPEED.test(name));
}
const AUXILIARY = /^auxiliary\.pt$/;

async function foldersWithWeights(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders)
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (!entry.isDirectory() || found.length === SHOWN) continue;
      const inside = await readdir(join(folder, entry.name));
      if (inside.some((name) => WEIGHTS.test(name))) found.push(join(folder, entry.name));
    }
  return found;
}

/** blocks.3.attn.weight → blocks.#.attn.weight */
const pattern = (name: string): string => name.replaceAll(/(?<=^|\.)\d+(?=\.|$)/g, '#');

/** Three of the names, spread over them, and the model whose names they are most like. */
function describe(names: readonly string[], converters: readonly Converter[]): string {
  const kinds = [...new Set(names.map(pattern))];
  const shown = Array.from(
    { length: Math.min(SHOWN, kinds.length) },
    (_, i) => kinds[Math.floor((i * (kinds.length - 1)) / Math.max(1, SHOWN - 1))] as string,
  );
  const [near] = converters
    .flatMap(({ reads, names: known }) => (known ? [{ reads, ...common(kinds, known) }] : []))
    .toSorted((a, b) => b.share - a.share);
  const nearest =
    near && near.share >= MIN_SHARE
      ? `; the nearest that mm knows is ${near.reads.split(':')[0]}, which has ${near.count} of these kinds of names`
      : '; they are like those of no model that mm knows';
  return `${counted(names.length, 'tensor')}, among them ${[...new Set(shown)].join(', ')}${nearest}`;
}
const MIN_SHARE = 0.3;

/** How many of the model's names are among those found, whatever stands before them; and as a share of the fewer. */
function common(kinds: readonly string[], known: readonly string[]): { count: number; share: number } {
  const tails = new Set(kinds.flatMap(tailsOf));
  const wanted = [...new Set(known.map(pattern))];
  const count = wanted.filter((name) => tails.has(name)).length;
  return { count, share: count / Math.max(1, Math.min(wanted.length, kinds.length)) };
}

/** A name, and what is left of it without its first segments. */
const tailsOf = (name: string): string[] => {
  const segments = name.split('.');
  return segments.map((_, i) => segments.slice(i).join('.'));
};
