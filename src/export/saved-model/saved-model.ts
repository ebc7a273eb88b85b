// CLIP's towers and the two halves of a dVAE as a TensorFlow SavedModel: their graphs for batches of any size, recorded
// as for mm's own runs, and their weights as variables.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { clipModelSchema } from '../../config/clip.ts';
import { dvaeModelSchema } from '../../config/dvae.ts';
import { capi } from '../../engine/native/capi.ts';
import { type RecordedFunction, recordFunction } from '../../engine/session/graph-def.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { Variable } from '../../engine/tfjs/variable.ts';
import { clipSpec, encodeImage, encodeText, normalizePixels } from '../../models/clip/model.ts';
import { imageTokenizer } from '../../models/dvae/architecture.ts';
import { flatten, type Parameters, type SpecTree, unflatten } from '../../nn/parameters.ts';
import { counted } from '../../util/counted.ts';
import { writeFileAtomic } from '../../util/files.ts';
import type { Exported, Exporter } from '../format.ts';
import type { ExportModel } from '../model.ts';
import { bundleFiles } from './bundle.ts';
import { type FreeFunction, freeBatch } from './free-batch.ts';
import { savedModel, variablesIn } from './meta-graph.ts';

/** Records a function for a batch of a size. */
type RecordBatch = (batch: number) => RecordedFunction;

/** A name as TensorFlow's variables have it. */
const variableName = (name: string): string => name.replaceAll('.', '/');

/** The parameters of a spec as variables; each is read where a function is recorded. */
function variablesOf<S extends SpecTree>(spec: S): () => Parameters<S> {
  const all = new Map(
    flatten(spec).map(([name, { shape }]) => [name, new Variable(variableName(name), shape)]),
  );
  return () => unflatten(spec, (name) => (all.get(name) as Variable).read()) as Parameters<S>;
}

async function exported(
  model: ExportModel,
  what: string,
  spec: SpecTree,
  functions: Readonly<Record<string, RecordBatch>>,
): Promise<Exported> {
  const weights = await model.tensors(spec);
  const narrow = [...weights.values()].filter(({ dtype }) => dtype !== 'float32').length;
  if (narrow > 0)
    model.notes.push(`${counted(narrow, 'tensor')} of 16 bits, written in 32: the graph computes in float32`);
  const free = new Map<string, FreeFunction>();
  for (const [name, record] of Object.entries(functions)) free.set(name, freeBatch(record));
  const used = new Set([...free.values()].flatMap(variablesIn));
  const variables = new Map<string, TensorSource>(
    Array.from(weights, ([name, source]) => [variableName(name), source] as const).filter(([name]) =>
      used.has(name),
    ),
  );
  const infos = Array.from(variables, ([name, { shape }]) => ({ name, shape }));
  const graph = savedModel(free, infos, capi().version());
  return {
    what: `${what} as a TensorFlow SavedModel with the signatures ${[...free.keys()].join(' and ')}`,
    folder: { ...bundleFiles(variables), 'saved_model.pb': (path) => writeFileAtomic(path, graph) },
  };
}

export const clipToSavedModel: Exporter = {
  format: 'saved-model',
  kind: 'clip',
  writes: 'CLIP as a TensorFlow SavedModel: encode_images and encode_texts',

  export(model) {
    const config = model.config(clipModelSchema);
    const { image, text } = config;
    const spec = clipSpec(config);
    const parameters = variablesOf(spec);
    model.notes.push(
      'encode_texts takes ids, with start and end token, and a mask of them: `to` tokenizer writes the tokenizer',
    );
    return exported(model, 'CLIP', spec, {
      encode_images: (batch) =>
        recordFunction(
          'encode_images',
          ({ pixels }: { pixels: Tensor }) => ({
            features: encodeImage(parameters().image, normalizePixels(pixels, image), config),
          }),
          { pixels: { dtype: 'uint8', shape: [batch, image.size, image.size, 3] } },
        ),
      encode_texts: (batch) =>
        recordFunction(
          'encode_texts',
          ({ text, mask }: { text: Tensor; mask: Tensor }) => ({
            features: encodeText(parameters().text, text as Tensor2D, mask as Tensor2D, config),
          }),
          {
            text: { dtype: 'int32', shape: [batch, text.length] },
            mask: { dtype: 'float32', shape: [batch, text.length] },
          },
        ),
    });
  },
};

export const dvaeToSavedModel: Exporter = {
  format: 'saved-model',
  kind: 'dvae',
  writes: 'a dVAE or VQGAN as a TensorFlow SavedModel: encode and decode',

  export(model) {
    const config = model.config(dvaeModelSchema);
    const { imageSize } = config;
    const { spec, grid, encode, decodeCodes } = imageTokenizer(config);
    const parameters = variablesOf(spec);
    return exported(model, 'a dVAE', spec, {
      encode: (batch) =>
        recordFunction(
          'encode',
          ({ pixels }: { pixels: Tensor }) => ({
            codes: tf.argMax(encode(parameters(), tf.div(pixels, 255) as Tensor4D), -1),
          }),
          { pixels: { dtype: 'uint8', shape: [batch, imageSize, imageSize, 3] } },
        ),
      decode: (batch) =>
        recordFunction(
          'decode',
          ({ codes }: { codes: Tensor }) => ({
            pixels: tf.mul(decodeCodes(parameters(), codes as Tensor3D), 255),
          }),
          { codes: { dtype: 'int32', shape: [batch, grid, grid] } },
        ),
    });
  },
};
