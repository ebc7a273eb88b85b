// mm classify: zero-shot prediction with labels in the user's own words.

import type { ImageFile } from '../../data/image.ts';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import { clipFlags, withClip } from '../clip-flags.ts';
import { type Context, defineCommand } from '../command.ts';
import { findImages } from '../find-images.ts';

interface Predicted {
  readonly file: string;
  readonly labels: readonly { readonly label: string; readonly probability: number }[];
  readonly truth?: string | undefined;
}

export const command = defineCommand({
  flags: (yargs) =>
    clipFlags(yargs)
      .option('labels', { type: 'string', requiresArg: true, describe: 'file of labels, a line each' })
      .option('label', { type: 'string', array: true, nargs: 1, describe: 'a label; repeatable' })
      .option('template', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'text made of a label; several are averaged (default "A photo of a {label}")',
      })
      .option('classifier', { type: 'string', requiresArg: true, describe: 'file of an earlier --save' })
      .option('save', { type: 'string', requiresArg: true, describe: 'file to keep the classifier in' })
      .option('top-k', {
        type: 'number',
        default: 5,
        alias: 'top_k',
        describe: 'labels listed of each image',
      })
      .option('truth', {
        type: 'string',
        requiresArg: true,
        describe:
          'what the images show, for accuracy: "folders" where each is in the folder of its label, or a CSV of file and label',
      })
      .option('csv', { type: 'string', requiresArg: true, describe: 'file for the table' })
      .conflicts('classifier', ['labels', 'label', 'template'])
      .conflicts('labels', 'label')
      .example('$0 classify photos --clip runs/clip --label cat --label dog', 'two labels')
      .example(
        '$0 classify photos --clip runs/clip --labels labels.txt --truth folders --save pets.safetensors',
        'accuracy on a folder for each label; the classifier is kept',
      )
      .example('$0 classify more --clip runs/clip --classifier pets.safetensors', 'and used again'),

  async run(flags, context) {
    const topK = flags['top-k'];
    if (!(Number.isInteger(topK) && topK > 0))
      throw new UsageError(`--top-k is a whole number from 1 on, and got ${topK}`, {
        where: '--top-k',
        fix: 'leave it out for the 5 likeliest',
      });
    const { DEFAULT_TEMPLATES, checkClassifier, makeClassifier, predict } = await import(
      '../../inference/clip/classifier.ts'
    );
    const { loadClassifier, saveClassifier } = await import('../../inference/clip/classifier-file.ts');
    const labels = await readLabelFlags(flags);
    const templates = flags.template ?? DEFAULT_TEMPLATES;
    const where = flags.labels ?? '--label';
    // Mistakes in them are told before the model is loaded.
    if (labels) checkClassifier(labels, templates, where);
    const images = await labelledImages(flags.images, flags.truth);

    const { predictions, all } = await withClip(flags, context, async ({ clip, embed }) => {
      const classifier =
        flags.classifier === undefined
          ? await makeClassifier(clip, labels as string[], templates, where, flags.truncate)
          : await loadClassifier(flags.classifier, clip.hash);
      refuseStrangers(images, classifier.labels);
      if (flags.save !== undefined) await saveClassifier(flags.save, classifier);
      const { images: found, features } = await embed(images);
      const { embedding } = clip.config;
      return {
        all: classifier.labels,
        predictions: found.map(
          ({ path, label }, i): Predicted => ({
            file: path,
            labels: predict(classifier, features.subarray(i * embedding, (i + 1) * embedding), clip.scale),
            truth: label,
          }),
        ),
      };
    });
    await report(predictions, all, topK, flags, context);
  },
});

/** The labels of the flags; undefined where a saved classifier has them. */
async function readLabelFlags({
  labels,
  label,
  classifier,
}: {
  labels?: string | undefined;
  label?: string[] | undefined;
  classifier?: string | undefined;
}): Promise<string[] | undefined> {
  if (classifier !== undefined) return undefined;
  if (label) return label;
  if (labels === undefined)
    throw new UsageError('there are no labels', {
      fix: 'name them: --labels FILE, --label cat --label dog, or --classifier FILE of an earlier --save',
    });
  const { readLabels } = await import('../../data/sources/labelled.ts');
  return readLabels(labels);
}

/** The images of the command line, with their labels where these are known. */
async function labelledImages(
  images: readonly string[],
  truth: string | undefined,
): Promise<(ImageFile & { readonly label?: string })[]> {
  if (truth === undefined) return findImages(images);
  const { readClasses, readLabelTable } = await import('../../data/sources/labelled.ts');
  if (truth === 'folders') return (await Promise.all(images.map(readClasses))).flat();
  const { resolve } = await import('node:path');
  const known = new Map((await readLabelTable(truth)).map(({ path, label }) => [path, label]));
  return (await findImages(images)).map((image) => {
    const label = known.get(resolve(image.path));
    return label === undefined ? image : { ...image, label };
  });
}

function refuseStrangers(
  images: readonly { readonly path: string; readonly label?: string }[],
  labels: readonly string[],
): void {
  const stranger = images.find(({ label }) => label !== undefined && !labels.includes(label));
  if (!stranger) return;
  throw new UsageError(`an image shows ${stranger.label}, which is not among the labels`, {
    where: stranger.path,
    fix: 'add the label, or mend --truth',
  });
}

async function report(
  predictions: readonly Predicted[],
  labels: readonly string[],
  topK: number,
  { csv: csvFile }: { csv?: string | undefined },
  { print, json, signal }: Context,
): Promise<void> {
  for (const { file, labels: likeliest, truth } of predictions) {
    if (signal.aborted) throw new InterruptedError('stopped');
    const shown = likeliest.slice(0, topK);
    const words = shown.map(({ label, probability }) => `${label} ${(100 * probability).toFixed(1)} %`);
    print(`${file}  ${words.join(', ')}${truth === undefined ? '' : `  (${truth})`}`);
    json({ file, labels: shown, ...(truth !== undefined && { truth }) });
  }
  const known = predictions.filter(({ truth }) => truth !== undefined);
  if (known.length > 0) {
    const { confusion } = await import('../../inference/clip/classifier.ts');
    const figures = confusion(
      labels.length,
      known.map(({ truth, labels: [best] }) => [
        labels.indexOf(truth as string),
        labels.indexOf(best!.label),
      ]),
    );
    print(`accuracy ${(100 * figures.accuracy).toFixed(1)} % of ${known.length}`);
    for (const line of confusionLines(labels, figures)) print(line);
    json({
      accuracy: figures.accuracy,
      images: known.length,
      perLabel: Object.fromEntries(labels.map((label, i) => [label, figures.perLabel[i] ?? null])),
      confusion: figures.matrix,
    });
  }
  if (csvFile === undefined) return;
  const [{ csv }, { writeFileAtomic }] = await Promise.all([
    import('../csv.ts'),
    import('../../util/files.ts'),
  ]);
  const rows = predictions.flatMap(({ file, labels: likeliest, truth }) =>
    likeliest
      .slice(0, topK)
      .map(({ label, probability }, i) => [file, i + 1, label, probability, truth ?? '']),
  );
  await writeFileAtomic(csvFile, csv([['file', 'rank', 'label', 'probability', 'truth'], ...rows]));
  print(csvFile);
}

/** A row for each label: how often it is right, and what it is taken for. */
function confusionLines(
  labels: readonly string[],
  { perLabel, matrix }: { perLabel: readonly (number | undefined)[]; matrix: readonly (readonly number[])[] },
): string[] {
  const width = Math.max(...labels.map(({ length }) => length));
  return labels.flatMap((label, i) => {
    const right = perLabel[i];
    if (right === undefined) return [];
    const taken = matrix[i]!.flatMap((count, j) => (count > 0 && j !== i ? [`${labels[j]} ${count}`] : []));
    const rest = taken.length > 0 ? `  taken for ${taken.join(', ')}` : '';
    return [`${label.padEnd(width)}  ${(100 * right).toFixed(1).padStart(5)} %${rest}`];
  });
}
