// mm train-bpe: a byte-pair tokenizer from captions.

import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type CaptionSource, openCaptions } from '../../data/sources/caption-files.ts';
import type { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { normalizeText } from '../../tokenizers/text.ts';
import { trainBpe } from '../../tokenizers/train.ts';
import { counted } from '../../util/counted.ts';
import { DataError, InterruptedError, UsageError } from '../../util/errors.ts';
import { makeFolder, storageError } from '../../util/files.ts';
import { type Context, defineCommand } from '../command.ts';
import { TEXT, withExamples } from '../help.ts';
import { openFaults, sourceFlags, tableOptions } from '../source-flags.ts';
import { wholeNumber } from '../whole-number.ts';

const BYTES = 256;
const MAX_VOCABULARY = 2 ** 20;

/** Statistics of the tokenizer on the captions that it was trained on. */
interface Report {
  readonly captions: number;
  readonly empty: number;
  readonly characters: number;
  readonly tokens: number;
  readonly charactersPerToken: number;
  readonly longest: { readonly tokens: number; readonly caption: string };
}

/** All captions of the source, with progress. */
async function* read(
  label: string,
  source: CaptionSource,
  { progress, signal }: Context,
): AsyncGenerator<string> {
  progress.start(label, source.total);
  for await (const caption of source.captions((done) => progress.update(done))) {
    if (signal.aborted) {
      throw new InterruptedError('stopped; no tokenizer was written', { code: 'E_INTERRUPTED' });
    }
    yield caption;
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

/** Checks before the work that its result can be written. */
async function assertFileWritable(file: string): Promise<void> {
  if ((await stat(file).catch(() => undefined))?.isDirectory()) {
    throw new UsageError('--out is a folder', {
      code: 'E_PATH_KIND',
      option: 'out',
      where: file,
      fix: 'name the file: --out FOLDER/tokenizer.json',
    });
  }
  const folder = dirname(file);
  try {
    makeFolder(folder);
    await access(folder, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw storageError(error, file);
    throw new UsageError('the folder of --out is a file', {
      code: 'E_PATH_KIND',
      option: 'out',
      where: folder,
      fix: 'name another folder',
      cause: error,
    });
  }
}

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      sourceFlags(yargs)
        .option('data', {
          ...TEXT,
          alias: 'image_text_folder',
          demandOption: true,
          describe:
            'captions: a folder of .txt files, searched with its subfolders; a text file with a caption on each line; or any source of captioned images: tars, lists, Parquet',
        })
        .option('out', { ...TEXT, demandOption: true, describe: 'tokenizer.json to write' })
        .option('vocabulary', {
          ...wholeNumber('vocabulary', {
            min: BYTES,
            max: MAX_VOCABULARY,
            fix: 'give 16384, as DALL·E has; the 256 bytes are always in it, so that every text can be encoded',
          }),
          default: 16384,
          describe: 'tokens, the 256 bytes included; few captions may give fewer',
        }),
      [
        ["DALL·E's 16,384 tokens", 'train-bpe --data captions.txt --out tokenizer.json'],
        ['a small one from a folder', 'train-bpe --data images --out tokenizer.json --vocabulary 1000'],
      ],
    ),

  async run({ data, out, vocabulary, ...flags }, context) {
    await assertFileWritable(out);
    const faults = await openFaults(flags, context);
    const { progress, signal } = context;
    const source = await openCaptions(data, { faults, table: tableOptions(flags), signal });
    const tokenizer = await trainBpe(read('reading captions', source, context), {
      vocabulary,
      progress,
      signal,
    });
    const report = await measure(tokenizer, read('measuring', source, context));
    faults.report(report.captions);
    const { files } = source;
    if (report.captions === 0) {
      throw new DataError('there are no captions, only empty lines or files', {
        code: 'E_NO_CAPTIONS',
        where: data,
        fix: 'write a caption on each line',
      });
    }
    await tokenizer.save(out);

    const size = tokenizer.vocabularySize;
    context.json({ file: out, vocabulary: size, requested: vocabulary, files, ...report });
    context.print(
      `${out}: ${size} tokens from ${counted(report.captions, 'caption')} in ${counted(files, 'file')}`,
    );
    if (size < vocabulary) {
      context.print(`  fewer than the ${vocabulary} requested: no other pair occurs twice in these captions`);
    }
    if (report.empty > 0) context.print(`  ${counted(report.empty, 'empty line')} skipped`);
    context.print(`  ${report.charactersPerToken.toFixed(2)} characters per token`);
    const { caption, tokens } = report.longest;
    const shown = caption.length > 60 ? `${caption.slice(0, 60)}…` : caption;
    context.print(`  the longest caption has ${tokens} tokens: ${shown}`);
  },
});
