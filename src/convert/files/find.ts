// A model among the files to convert, by tensors that every such model has.

import { basename } from 'node:path';
import { counted } from '../../util/counted.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { ExternalFile, ExternalFiles } from '../external.ts';
import type { ExternalTensor, StateDict } from '../tensors.ts';
import { AVERAGE } from './held.ts';
import { type Part, partsWith, unwrapped } from './names.ts';

export interface FoundModel {
  readonly tensors: StateDict;
  /** The file. */
  readonly where: string;
}

interface Candidate extends Part {
  readonly where: string;
  readonly key: string;
}

export interface Wanted {
  /** Names of tensors that such a model has. */
  readonly anchors: readonly string[];
  /** The name of a tensor where variants of the model have others. */
  readonly rename?: (name: string) => string;
  /** Key of a state dictionary, or beginning of the names, where the files hold several such models. */
  readonly part?: string | undefined;
}

/** DeepSpeed's ZeRO-3 leaves tensors without elements instead of those that it has divided. */
const isEmpty = (tensor: ExternalTensor | undefined): boolean => tensor?.shape.includes(0) ?? true;

const SHOWN = 3;
const some = (names: readonly string[]): string =>
  names.slice(0, SHOWN).join(', ') + (names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '');

/**
 * The model in the files that has the wanted tensors; undefined when there is none. What is left out is noted.
 * @throws DataError, UsageError E_WEIGHTS_AMBIGUOUS when there are several, and nothing says which
 */
export async function findModel(files: ExternalFiles, wanted: Wanted): Promise<FoundModel | undefined> {
  const all: Candidate[] = [];
  for (const { where, key, tensors } of await files.stateDicts()) {
    const plain = unwrapped(tensors);
    const { rename } = wanted;
    const renamed = rename && new Map(Array.from(plain, ([name, tensor]) => [rename(name), tensor]));
    // Two tensors that would have one name are tensors of different models.
    const named = renamed?.size === plain.size ? renamed : plain;
    for (const part of partsWith(named, wanted.anchors))
      if (!isEmpty(part.tensors.get(wanted.anchors[0] as string))) all.push({ ...part, where, key });
  }
  const chosen = choose(all, wanted.part);
  const [first] = chosen;
  if (!first) return undefined;
  const file = oneFile(chosen);
  const isAverage = ({ prefix }: Candidate): boolean => AVERAGE.test(prefix);
  const inFile = chosen
    .filter(({ where }) => where === file)
    .toSorted((a, b) => Number(isAverage(a)) - Number(isAverage(b)));
  const [best] = inFile as [Candidate];
  const others = inFile.filter(
    (other) => other.key === best.key && other.prefix !== best.prefix && isAverage(other) === isAverage(best),
  );
  if (others.length > 0)
    throw new UsageError(`the file holds several such models, under ${some(inFile.map(placeOf))}`, {
      code: 'E_WEIGHTS_AMBIGUOUS',
      option: 'part',
      where: file,
      fix: `choose one with \`part\`, for example ${placeOf(best)}`,
    });
  note(files, best, inFile);
  files.used.add(file);
  return { tensors: best.tensors, where: file };
}

const placeOf = ({ key, prefix }: Candidate): string =>
  [key, prefix.replace(/\.$/, '')].filter(Boolean).join('.') || 'the file itself';

/** Those at the place `part`, a key or the beginning of names. */
function choose(all: readonly Candidate[], part: string | undefined): readonly Candidate[] {
  if (part === undefined || all.length === 0) return all;
  const wanted = part.replace(/\.$/, '');
  const chosen = all.filter(
    (candidate) =>
      placeOf(candidate) === wanted || candidate.key === wanted || candidate.prefix === `${wanted}.`,
  );
  if (chosen.length > 0) return chosen;
  throw new UsageError(`no model is under ${part}: there is one under ${some(all.map(placeOf))}`, {
    code: 'E_WEIGHTS_PART',
    option: 'part',
    where: all[0]?.where ?? '',
    fix: 'give one of these, or leave `part` out',
  });
}

const isSafetensors = (path: string): boolean => path.includes('.safetensors');

/** The file to take: the only one, or the only safetensors file among copies of other formats. */
function oneFile(candidates: readonly Candidate[]): string {
  const paths = [...new Set(candidates.map(({ where }) => where))];
  const preferred = paths.filter(isSafetensors);
  // Repositories have the same weights in both formats.
  const [file, another] = preferred.length === 1 && paths.length === 2 ? preferred : paths;
  if (another === undefined) return file as string;
  throw severalFiles(paths);
}

const severalFiles = (paths: readonly string[]): DataError =>
  new DataError(`${paths.length} files hold such a model: ${some(paths.map((path) => basename(path)))}`, {
    code: 'E_WEIGHTS_AMBIGUOUS',
    where: paths.join(', '),
    fix: 'give the one file, with the configuration and the tokenizer beside it',
  });

/**
 * The only file of torch.save whose object `isOurs`; undefined when there is none.
 * @throws DataError E_WEIGHTS_AMBIGUOUS when there are several
 */
export async function findFile(
  files: ExternalFiles,
  isOurs: (file: ExternalFile) => boolean,
): Promise<ExternalFile | undefined> {
  const [found, ...others] = (await files.torchFiles()).filter(isOurs);
  if (found && others.length > 0) throw severalFiles([found, ...others].map(({ path }) => path));
  if (found) files.used.add(found.path);
  return found;
}

function note({ notes }: ExternalFiles, best: Candidate, inFile: readonly Candidate[]): void {
  const keys = [...new Set(inFile.map(({ key }) => key))].filter((key) => key !== best.key);
  if (keys.length > 0)
    notes.push(
      `the weights under ${best.key || 'no key'} are taken; ${some(keys)} in the same file can be chosen with \`part\``,
    );
  if (best.beside.length > 0)
    notes.push(`${counted(best.beside.length, 'tensor')} beside the model left out: ${some(best.beside)}`);
}
