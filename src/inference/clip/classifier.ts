// Zero-shot classifiers (arXiv 2103.00020, section 3.1.4): a label becomes texts by templates; their features are
// averaged and brought to length 1 again. An image is of the label whose feature is the nearest.

import { UsageError } from '../../util/errors.ts';
import { cosineSimilarity, descendingOrder } from '../measures/features.ts';
import type { ClipPipeline } from './pipeline.ts';
import { type Logits, probabilitiesOf } from './probabilities.ts';

export const DEFAULT_TEMPLATES: readonly string[] = ['A photo of a {label}'];
const PLACE = '{label}';

export interface Classifier {
  readonly labels: readonly string[];
  readonly templates: readonly string[];
  /** labels × embedding, of length 1 */
  readonly features: Float32Array;
  /** The CLIP whose space they are in. */
  readonly clip: string;
}

export interface Prediction {
  readonly label: string;
  readonly probability: number;
}

/**
 * Checks the labels and templates of a classifier.
 * @throws UsageError for fewer than two labels, empty or repeated ones, or a template without {label}
 */
export function checkClassifier(
  labels: readonly string[],
  templates: readonly string[],
  where: string | undefined,
): void {
  if (labels.length < 2)
    throw new UsageError(`a classifier needs at least two labels, and got ${labels.length}`, {
      code: 'E_LABELS_TOO_FEW',
      option: 'label',
      where,
      fix: 'give one label for each class, each as `label` or as a line of a file',
    });
  const seen = new Map<string, number>();
  for (const [i, label] of labels.entries()) {
    if (label.trim() === '')
      throw new UsageError(`label ${i + 1} is empty`, {
        code: 'E_LABEL_EMPTY',
        where,
        fix: 'write a label, or remove the line',
      });
    const twin = seen.get(label);
    if (twin !== undefined)
      throw new UsageError(`labels ${twin + 1} and ${i + 1} are the same: ${label}`, {
        code: 'E_LABELS_REPEATED',
        where,
        fix: 'remove one, or word them differently',
      });
    seen.set(label, i);
  }
  for (const template of templates) {
    if (!template.includes(PLACE))
      throw new UsageError(`the template has no ${PLACE}: ${template}`, {
        code: 'E_TEMPLATE',
        option: 'template',
        fix: `write it with its place, for example "A photo of a ${PLACE}"`,
      });
  }
}

/** Makes a classifier of label texts. Throws as `checkClassifier`, and DataError for texts that are too long. */
export async function makeClassifier(
  clip: ClipPipeline,
  labels: readonly string[],
  templates: readonly string[],
  where: string | undefined,
  truncate = false,
): Promise<Classifier> {
  checkClassifier(labels, templates, where);
  const { embedding } = clip.config;
  const texts = labels.flatMap((label) => templates.map((template) => template.replaceAll(PLACE, label)));
  const encoded = await clip.encodeTexts(texts, truncate);
  const features = new Float32Array(labels.length * embedding);
  for (let label = 0; label < labels.length; label++) {
    const mean = new Float64Array(embedding);
    for (let t = 0; t < templates.length; t++)
      for (let k = 0; k < embedding; k++)
        mean[k]! += encoded[(label * templates.length + t) * embedding + k] as number;
    const length = Math.hypot(...mean);
    for (let k = 0; k < embedding; k++) features[label * embedding + k] = (mean[k] as number) / length;
  }
  return { labels, templates, features, clip: clip.hash };
}

/**
 * The labels of one image, most likely first.
 * @param feature of the image, of length 1
 * @param logits of the CLIP
 */
export function predict(
  { labels, features }: Classifier,
  feature: Float32Array,
  logits: Logits,
): Prediction[] {
  const width = feature.length;
  const near = labels.map((_, label) => cosineSimilarity(feature, 0, features, label, width));
  const probabilities = probabilitiesOf(near, logits);
  return descendingOrder(near).map((i) => ({
    label: labels[i] as string,
    probability: probabilities[i] as number,
  }));
}

export interface Confusion {
  readonly accuracy: number;
  /** By label; undefined for labels that no image bears. */
  readonly perLabel: readonly (number | undefined)[];
  /** Rows: what images show; columns: what they are taken for. */
  readonly matrix: readonly (readonly number[])[];
}

/** @param pairs of label numbers: what an image shows, and what it is taken for */
export function confusion(
  labels: number,
  pairs: readonly (readonly [truth: number, guess: number])[],
): Confusion {
  const matrix = Array.from({ length: labels }, () => new Array<number>(labels).fill(0));
  for (const [truth, guess] of pairs) matrix[truth]![guess]! += 1;
  const perLabel = matrix.map((row, label) => {
    const all = row.reduce((a, b) => a + b, 0);
    return all === 0 ? undefined : (row[label] as number) / all;
  });
  const right = pairs.filter(([truth, guess]) => truth === guess).length;
  return { accuracy: right / pairs.length, perLabel, matrix };
}
