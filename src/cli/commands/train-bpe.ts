// mm train-bpe: a byte-pair tokenizer from captions.

import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { captionFiles, readLines } from '../../data/sources/caption-files.ts';
import { isList } from '../../data/sources/lists.ts';
import { archivesOf, readImages } from '../../data/sources/resolve.ts';
import type { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { normalizeText } from '../../tokenizers/text.ts';
import { trainBpe } from '../../tokenizers/train.ts';
import { DataError, InterruptedError, UsageError } from '../../util/errors.ts';
import { storageError } from '../../util/files.ts';
import { type Context, defineCommand } from '../command.ts';

const BYTES = 256;
const MAX_VOCABULARY = 2 ** 20;

/** What the tokenizer makes of the captions it was trained on. */
interface Report {
  readonly captions: number;
  readonly empty: number;
  readonly characters: number;
  readonly tokens: number;
  readonly charactersPerToken: number;
  readonly longest: { readonly tokens: number; readonly caption: string };
}

/** The captions of tars or of a list; undefined where the path is a folder or a file of text. */
async function imageCaptions(path: string): Promise<string[] | undefined> {
  if (!isList(path) && !(await archivesOf(path))) return undefined;
  const images = await readImages(path, { captions: 'optional' });
  return images.flatMap(({ captions }) => captions);
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

/** All captions that are not empty, with progress by files, or by bytes of a single file. */
async function* captions(label: string, files: readonly string[], context: Context): AsyncGenerator<string> {
  const { progress, signal } = context;
  const [first] = files;
  const single = files.length === 1 && first !== undefined;
  progress.start(label, single ? (await stat(first)).size : files.length);
  for (const [index, file] of files.entries()) {
    for await (const line of readLines(file, single ? (bytes) => progress.update(bytes) : undefined)) {
      if (signal.aborted) throw new InterruptedError('stopped; no tokenizer was written');
      yield line;
    }
    if (!single) progress.update(index + 1);
  }
  progress.stop();
}

async function measure(tokenizer: BpeTokenizer, lines: AsyncIterable<string>): Promise<Report> {
  let count = 0;
  let empty = 0;
  let characters = 0;
  let tokens = 0;
  let longest = { tokens: 0, caption: '' };
  for await (const line of lines) {
    const caption = normalizeText(line);
    if (caption === '') {
      empty++;
      continue;
    }
    const length = tokenizer.encode(line).length;
    count++;
    characters += Array.from(caption).length;
    tokens += length;
    if (length > longest.tokens) longest = { tokens: length, caption };
  }
  return { captions: count, empty, characters, tokens, charactersPerToken: characters / tokens, longest };
}

/** Finds out before the work whether its result can be written. */
async function checkWritable(file: string): Promise<void> {
  if ((await stat(file).catch(() => undefined))?.isDirectory()) {
    throw new UsageError('--out is a folder', {
      where: file,
      fix: 'name the file: --out FOLDER/tokenizer.json',
    });
  }
  const folder = dirname(file);
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw storageError(error, file);
    throw new UsageError('the folder of --out is a file', {
      where: folder,
      fix: 'name another folder',
      cause: error,
    });
  }
}

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .option('data', {
        alias: 'image_text_folder',
        type: 'string',
        demandOption: true,
        describe:
          'folder of .txt captions, searched with its subfolders, or a text file, each line a caption; or WebDataset tars, or a CSV, TSV, JSONL or COCO list',
      })
      .option('out', { type: 'string', demandOption: true, describe: 'the tokenizer.json to write' })
      .option('vocabulary', {
        type: 'number',
        default: 16384,
        describe: 'tokens wanted, the 256 bytes included; little text may give fewer',
      })
      .example('$0 train-bpe --data captions.txt --out tokenizer.json', 'DALL·E’s 16,384 tokens')
      .example('$0 train-bpe --data images --out tokenizer.json --vocabulary 1000', 'from a folder'),

  async run({ data, out, vocabulary }, context) {
    if (!Number.isInteger(vocabulary) || vocabulary < BYTES || vocabulary > MAX_VOCABULARY) {
      throw new UsageError(
        `--vocabulary ${vocabulary} is not an integer from ${BYTES} to ${MAX_VOCABULARY}`,
        {
          fix: 'the 256 bytes are always in it, so that every text can be encoded; DALL·E has 16384',
        },
      );
    }
    await checkWritable(out);
    const texts = await imageCaptions(data);
    const files = texts ? [data] : await captionFiles(data);
    const { progress, signal } = context;
    const read = (label: string) => (texts ? each(texts) : captions(label, files, context));
    const lines = read('reading captions');
    const tokenizer = await trainBpe(lines, { vocabulary, progress, signal });
    const report = await measure(tokenizer, read('measuring'));
    if (report.captions === 0) {
      throw new DataError('there are no captions, only empty lines or files', {
        where: data,
        fix: 'write a caption on each line',
      });
    }
    await tokenizer.save(out);

    const size = tokenizer.vocabularySize;
    context.json({ file: out, vocabulary: size, requested: vocabulary, files: files.length, ...report });
    context.print(
      `${out}: ${size} tokens from ${report.captions} captions in ${files.length} file${files.length === 1 ? '' : 's'}`,
    );
    if (size < vocabulary) {
      context.print(`  fewer than the ${vocabulary} asked for: no other pair occurs twice in these captions`);
    }
    if (report.empty > 0) context.print(`  ${report.empty} empty lines passed over`);
    context.print(`  ${report.charactersPerToken.toFixed(2)} characters a token`);
    const { caption, tokens } = report.longest;
    const shown = caption.length > 60 ? `${caption.slice(0, 60)}…` : caption;
    context.print(`  the longest caption has ${tokens} tokens: ${shown}`);
  },
});
