// A classifier as a safetensors file: the labels' features, and in its metadata the labels, the templates and the CLIP.

import { z } from 'zod';
import { SafetensorsFile, writeSafetensors } from '../../checkpoint/safetensors.ts';
import { DataError } from '../../util/errors.ts';
import type { Classifier } from './classifier.ts';

const FORMAT = 'mm-classifier';
const strings = z
  .string()
  .transform((text): unknown => JSON.parse(text))
  .pipe(z.array(z.string()).min(1));
const schema = z.object({ format: z.literal(FORMAT), labels: strings, templates: strings, clip: z.string() });

/** Writes the file whole or not at all. */
export async function saveClassifier(path: string, classifier: Classifier): Promise<void> {
  const { labels, templates, features, clip } = classifier;
  const shape = [labels.length, features.length / labels.length];
  await writeSafetensors(path, [['features', { dtype: 'float32', shape, data: features }]], {
    format: FORMAT,
    labels: JSON.stringify(labels),
    templates: JSON.stringify(templates),
    clip,
  });
}

/**
 * Reads a classifier for the CLIP with the hash `clip`.
 * @throws DataError when it is none, or another CLIP's: features of two models have nothing to do with each other
 */
export async function loadClassifier(path: string, clip: string): Promise<Classifier> {
  const file = await SafetensorsFile.open(path);
  try {
    const about = parse(file.metadata);
    if (!about || !file.has('features')) {
      throw new DataError('not a classifier', { where: path, fix: 'name a file of mm classify --save' });
    }
    if (about.clip !== clip) {
      throw new DataError('the classifier was made with another CLIP', {
        where: path,
        fix: 'name that CLIP with --clip, or make the classifier anew with --labels and --save',
      });
    }
    const { data, shape } = await file.read('features');
    if (shape[0] !== about.labels.length || !(data instanceof Float32Array))
      throw new DataError('the classifier is damaged', { where: path, fix: 'make it anew with --save' });
    return { labels: about.labels, templates: about.templates, features: data, clip };
  } finally {
    await file.close();
  }
}

function parse(metadata: Readonly<Record<string, string>>): z.output<typeof schema> | undefined {
  try {
    return schema.parse(metadata);
  } catch {
    return undefined;
  }
}
