// mm data check on a folder of token shards.

import { dirname } from 'node:path';
import type { Checkpoint } from '../../../checkpoint/checkpoint.ts';
import type { TokenReport } from '../../../data/check/check-tokens.ts';
import type { Groups, Listed } from '../../../data/check/lists.ts';
import { type CodebookUse, codebookMetrics, countedUse } from '../../../inference/measures/codebook.ts';
import { counted } from '../../../util/counted.ts';
import { DataError } from '../../../util/errors.ts';
import { assertWritable, writeFileAtomic } from '../../../util/files.ts';
import type { Context } from '../../command.ts';
import { binsText, rangeText } from './distribution-text.ts';

/** Names printed of each kind; --json has up to a thousand. */
const MAX_NAMES = 5;
const MAX_WORDS = 10;

export interface TokenCheckFlags {
  readonly textLength: number;
  readonly tokenizer: string | undefined;
  readonly html: string | undefined;
  /** The dVAE that decodes images for the page. */
  readonly dvae: string | undefined;
  readonly maxBad: number | undefined;
}

/** @throws DataError as `checkTokens` does, and when more than `maxBad` of the images have no codes or no caption */
export async function checkTokenShards(
  path: string,
  { textLength, tokenizer, html, dvae, maxBad }: TokenCheckFlags,
  context: Context,
): Promise<void> {
  const { json, print, progress, signal } = context;
  const { checkTokens } = await import('../../../data/check/check-tokens.ts');
  if (html !== undefined) await assertWritable(dirname(html));
  const checkpoint = dvae === undefined ? undefined : await openDvae(path, dvae, context);
  const { report, codeCounts, ...listed } = await checkTokens(path, {
    ...{ textLength, tokenizer, progress, signal },
  });
  const use = countedUse(codeCounts);
  if (html !== undefined) {
    const { shownOnPage, tokenPage } = await import('../../../report/pages/token-page.ts');
    const sections = shownOnPage(report, listed.some);
    const shown = [...sections.values()].flat().map(({ key }) => key);
    const shardOf = new Map(shown.map((key) => [key, listed.shardOf.get(key) ?? -1]));
    const { decodeSome } = await import('../../../inference/jobs/decode-some.ts');
    const images = checkpoint && (await decodeSome(path, shardOf, checkpoint, context));
    await writeFileAtomic(html, tokenPage(report, { ...use, textLength }, sections, images));
  }
  json({
    ...report,
    codes: codebookMetrics(use, report.vocabulary),
    ...(html !== undefined && { html }),
  });
  for (const line of describe(report, use, textLength)) print(line);
  if (html !== undefined) print(`page: ${html}`);
  const { skipped, captions, images } = report;
  const bad = skipped.count + captions.missing.count;
  if (maxBad !== undefined && bad > maxBad * (images + skipped.count)) {
    throw new DataError(`${bad} of ${images + skipped.count} images have no codes or no caption`, {
      code: 'E_TOO_MANY_FAULTS',
      where: path,
      fix: 'tokenize a source without them, or allow more with `maxBad`',
    });
  }
}

/** The dVAE's checkpoint, compared with the folder before its shards are read. */
async function openDvae(path: string, dvae: string, { log }: Context): Promise<Checkpoint> {
  const [{ readCheckpoint }, { hashOf }, { assertSameDvae }, { readFinishedManifest }] = await Promise.all([
    import('../../../checkpoint/read.ts'),
    import('../../../checkpoint/checkpoint.ts'),
    import('../../../data/tokens/check.ts'),
    import('../../../data/tokens/read.ts'),
  ]);
  const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn: (message) => log.warn(message) });
  const { dvae: dvaeHash } = await readFinishedManifest(path);
  assertSameDvae({ dvaeHash }, hashOf(checkpoint), checkpoint.path);
  return checkpoint;
}

function describe(
  report: TokenReport,
  { used, dead, perplexity }: CodebookUse,
  textLength: number,
): string[] {
  const { captions, grid, imageSize, vocabulary, shards, images } = report;
  const unit = captions.tokens ? 'tokens' : 'words';
  const tokens = captions.tokens ? `; ${rangeText(captions.tokens)} tokens` : '';
  const words = captions.frequentWords.slice(0, MAX_WORDS).map(({ word, count }) => `${word} ${count}`);
  const warnings: [what: string, count: number, first: readonly string[]][] = [
    listed('could not be encoded', report.skipped),
    listed('have no caption', captions.missing),
    listed(`captions of more than ${textLength} ${unit}`, {
      count: captions.tooLong.count,
      first: captions.tooLong.first.map(({ file, words, tokens = words }) => `${file} (${tokens})`),
    }),
    grouped('have the codes of another image', '=', report.duplicates),
    grouped('have nearly the codes of another image', '≈', report.nearDuplicates),
  ];
  return [
    `${counted(images, 'image')} of ${grid} × ${grid} codes, of ${imageSize} pixels, in ${counted(shards, 'token shard')} of ${report.path}`,
    `${used} of ${vocabulary} codes used, perplexity ${perplexity.toFixed(1)}, ${dead} never used`,
    `${counted(captions.count, 'image')} with a caption, ${captions.several} with several; ${rangeText(captions.words)} words${tokens}`,
    `${unit} in a caption: ${binsText(captions.lengths)}`,
    `most frequent words: ${words.join(', ')}`,
    ...warnings
      .filter(([, count]) => count > 0)
      .map(([what, count, first]) => `warning: ${count} ${what}: ${names(first, count)}`),
    ...report.limits.map((limit) => `not compared, or not exact: ${limit}`),
  ];
}

const listed = (what: string, { count, first }: Listed): [string, number, readonly string[]] => [
  what,
  count,
  first,
];

const grouped = (
  what: string,
  sign: string,
  { images, first }: Groups,
): [string, number, readonly string[]] => [
  what,
  images,
  first.map((group) => group.slice(0, MAX_NAMES).join(` ${sign} `)),
];

const names = (first: readonly string[], count: number): string =>
  first.slice(0, MAX_NAMES).join(', ') + (count > MAX_NAMES ? ', …' : '');
