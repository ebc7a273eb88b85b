// mm classify: zero-shot classification with labels in the user's own words.

import type { ImageFile } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import type { ReadOptions } from '../../data/sources/source.ts';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import { clipFlags, withClip } from '../clip-flags.ts';
import { type Context, defineCommand } from '../command.ts';
import { findClasses, findImages, type TokenDecoding } from '../find-images.ts';
import { REPEATABLE, TEXT, withExamples } from '../help.ts';
import { openFaults, tableOptions } from '../source-flags.ts';
import { wholeNumber } from '../whole-number.ts';

interface Prediction {
  readonly file: string;
  /** All labels, the most probable first. */
  readonly labels: readonly { readonly label: string; readonly probability: number }[];
  readonly truth?: string | undefined;
}

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      clipFlags(yargs)
        .option('labels', { ...TEXT, describe: 'text file with a label on each line' })
        .option('label', { ...REPEATABLE, describe: 'a label, instead of --labels; repeatable' })
        .option('template', {
          ...REPEATABLE,
          defaultDescription: '"A photo of a {label}"',
          describe: 'text made of a label; the features of several templates are averaged; repeatable',
        })
        .option('classifier', { ...TEXT, describe: 'classifier file of --save, instead of labels' })
        .option('save', { ...TEXT, describe: 'writes the classifier to this file' })
        .option('top-k', {
          ...wholeNumber('top-k'),
          default: 5,
          alias: 'top_k',
          describe: 'labels listed for each image, the most probable first',
        })
        .option('truth', {
          ...TEXT,
          describe:
            'true labels, for accuracy: "folders" when each image is in a folder of its label, or a CSV of file and label',
        })
        .option('csv', { ...TEXT, describe: 'writes the table as a CSV file' })
        .conflicts('classifier', ['labels', 'label', 'template'])
        .conflicts('labels', 'label'),
      [
        ['two labels', 'classify photos --clip runs/clip --label cat --label dog'],
        [
          'accuracy on a folder for each label; keeps the classifier',
          'classify photos --clip runs/clip --labels labels.txt --truth folders --save pets.safetensors',
        ],
        ['uses the classifier again', 'classify more --clip runs/clip --classifier pets.safetensors'],
      ],
    ),

  async run(flags, context) {
    const { DEFAULT_TEMPLATES, checkClassifier, makeClassifier, predict } = await import(
      '../../inference/clip/classifier.ts'
    );
    const { loadClassifier, saveClassifier } = await import('../../inference/clip/classifier-file.ts');
    const labels = await readLabelFlags(flags);
    const templates = flags.template ?? DEFAULT_TEMPLATES;
    // Checked before the model is loaded.
    if (labels) checkClassifier(labels, templates, flags.labels);
    const faults = await openFaults(flags, context);
    const images = await labelledImages(
      flags.images,
      flags.truth,
      faults,
      { table: tableOptions(flags), signal: context.signal },
      { dvae: flags.dvae, context },
    );

    const { predictions, all, loss } = await withClip(flags, context, faults, async ({ clip, embed }) => {
      const classifier =
        flags.classifier === undefined
          ? await makeClassifier(clip, labels as string[], templates, flags.labels, flags.truncate)
          : await loadClassifier(flags.classifier, clip.hash);
      assertKnownLabels(images, classifier.labels);
      if (flags.save !== undefined) await saveClassifier(flags.save, classifier);
      const { images: found, features } = await embed(images);
      const { embedding } = clip.config;
      return {
        all: classifier.labels,
        loss: clip.logits.loss,
        predictions: found.map(
          ({ path, label }, i): Prediction => ({
            file: path,
            labels: predict(classifier, features.subarray(i * embedding, (i + 1) * embedding), clip.logits),
            truth: label,
          }),
        ),
      };
    });
    const shown = predictions.map((prediction) => ({
      ...prediction,
      labels: prediction.labels.slice(0, flags['top-k']),
    }));
    printPredictions(shown, loss, context);
    await printAccuracy(predictions, all, context);
    if (flags.csv !== undefined) await writeTable(flags.csv, shown, loss, context);
  },
});

/** The labels of the flags; undefined with a saved classifier, which has its own. */
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
  if (labels === undefined) {
    throw new UsageError('there are no labels', {
      code: 'E_NO_LABELS',
      option: 'labels',
      fix: 'name them: --labels FILE, --label cat --label dog, or --classifier FILE of an earlier --save',
    });
  }
  const { readLabels } = await import('../../data/sources/labelled.ts');
  return readLabels(labels);
}

/** The images of the command line, with their true labels where they are known. */
async function labelledImages(
  images: readonly string[],
  truth: string | undefined,
  faults: Faults,
  options: Pick<ReadOptions, 'table' | 'signal'>,
  tokens: TokenDecoding,
): Promise<(ImageFile & { readonly label?: string })[]> {
  if (truth === undefined) return findImages(images, faults, options, tokens);
  if (truth === 'folders') return findClasses(images, faults, options, tokens);
  const { readLabelTable } = await import('../../data/sources/labelled.ts');
  const { resolve } = await import('node:path');
  const known = new Map((await readLabelTable(truth, faults)).map(({ path, label }) => [path, label]));
  return (await findImages(images, faults, options, tokens)).map((image) => {
    const label = known.get(resolve(image.path));
    return label === undefined ? image : { ...image, label };
  });
}

/** @throws UsageError when an image's true label is not one of the classifier's */
function assertKnownLabels(
  images: readonly { readonly path: string; readonly label?: string }[],
  labels: readonly string[],
): void {
  const unknown = images.find(({ label }) => label !== undefined && !labels.includes(label));
  if (!unknown) return;
  throw new UsageError(`the true label of an image is not one of the labels: ${unknown.label}`, {
    code: 'E_UNKNOWN_LABEL',
    where: unknown.path,
    fix: 'add the label, or correct --truth',
  });
}

/** What the probabilities are: of all labels together, or of each label for itself. */
type Loss = 'softmax' | 'sigmoid';

function printPredictions(
  predictions: readonly Prediction[],
  loss: Loss,
  { print, json, signal }: Context,
): void {
  if (loss === 'sigmoid') print('file  labels, each with its sigmoid: no sum of 100 %');
  for (const { file, labels, truth } of predictions) {
    if (signal.aborted) throw new InterruptedError('stopped', { code: 'E_INTERRUPTED' });
    const texts = labels.map(({ label, probability }) => `${label} ${(100 * probability).toFixed(1)} %`);
    print(`${file}  ${texts.join(', ')}${truth === undefined ? '' : `  (${truth})`}`);
    json({ file, labels, probabilityKind: loss, ...(truth !== undefined && { truth }) });
  }
}

/** Accuracy and confusion of the images whose label is known. */
async function printAccuracy(
  predictions: readonly Prediction[],
  labels: readonly string[],
  { print, json }: Context,
): Promise<void> {
  const known = predictions.filter(({ truth }) => truth !== undefined);
  if (known.length === 0) return;
  const { confusion } = await import('../../inference/clip/classifier.ts');
  const { accuracy, perLabel, matrix } = confusion(
    labels.length,
    known.map(({ truth, labels: [best] }) => [labels.indexOf(truth as string), labels.indexOf(best!.label)]),
  );
  print(`accuracy ${(100 * accuracy).toFixed(1)} % of ${known.length}`);
  for (const line of confusionLines(labels, { perLabel, matrix })) print(line);
  json({
    accuracy,
    images: known.length,
    perLabel: Object.fromEntries(labels.map((label, i) => [label, perLabel[i] ?? null])),
    confusion: matrix,
  });
}

async function writeTable(
  file: string,
  predictions: readonly Prediction[],
  loss: Loss,
  { print }: Context,
): Promise<void> {
  const column = loss === 'sigmoid' ? 'sigmoid_probability' : 'probability';
  const [{ csv }, { writeFileAtomic }] = await Promise.all([
    import('../csv.ts'),
    import('../../util/files.ts'),
  ]);
  const rows = predictions.flatMap(({ file, labels, truth }) =>
    labels.map(({ label, probability }, i) => [file, i + 1, label, probability, truth ?? '']),
  );
  await writeFileAtomic(file, csv([['file', 'rank', 'label', column, 'truth'], ...rows]));
  print(file);
}

/** A line for each label: the share classified correctly, and the labels that the others got. */
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
