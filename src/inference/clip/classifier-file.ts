// The file of a classifier: safetensors with the labels' features, and labels, templates and the CLIP's hash as
// metadata.

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

/** Writes a classifier's file, whole or not at all. */
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
 * Reads a classifier.
 * @param clip hash of the CLIP that will encode the images: features of different models cannot be compared
 * @throws DataError E_NOT_A_CLASSIFIER, E_CLASSIFIER_OF_OTHER_CLIP, E_CLASSIFIER_DAMAGED
 */
export async function loadClassifier(path: string, clip: string): Promise<Classifier> {
  const file = await SafetensorsFile.open(path);
  try {
    const about = parse(file.metadata);
    if (!about || !file.has('features')) {
      throw new DataError('not a classifier', {
        code: 'E_NOT_A_CLASSIFIER',
        where: path,
        fix: 'name a file that mm classify saved',
      });
    }
    if (about.clip !== clip) {
      throw new DataError('the classifier was made with another CLIP', {
        code: 'E_CLASSIFIER_OF_OTHER_CLIP',
        where: path,
        fix: 'give that CLIP as `clip`, or make the classifier again with `labels` and `save`',
      });
    }
    const { data, shape } = await file.read('features');
    if (shape[0] !== about.labels.length || !(data instanceof Float32Array))
      throw new DataError('the classifier is damaged', {
        code: 'E_CLASSIFIER_DAMAGED',
        where: path,
        fix: 'make it again with `save`',
      });
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
