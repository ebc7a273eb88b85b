// DALL·E mini, mega and their kind for `mm convert`: min-dalle's PyTorch files, and dalle-mini's Flax files.

import type { DalleMiniConfig } from '../../config/dalle-mini.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { Converted, Converter, ConvertOptions, ExternalDict, ExternalFiles } from '../external.ts';
import { externalNames } from '../rules.ts';
import type { ExternalTensor } from '../tensors.ts';
import { detokenizer, isDetokenizer } from './detokenizer.ts';
import { flaxSettings } from './flax-config.ts';
import { imageTokenizerOf } from './image-tokenizer.ts';
import { dalleMiniRules, fromFlax } from './names.ts';
import { flaxTokenizer, minDalleTokenizer } from './tokenizer.ts';
import { dalleMiniWeights, parseModel, sizesOf, unusable } from './weights.ts';

const LAYER = 'layers.0.glu.fc0.weight';
const HEAD = 'lm_head.weight';
/** Width of a head of both published models. */
const HEAD_WIDTH = 64;

/** Of both files, each without what `dalleMiniRules` puts before them. */
const NAMES = externalNames(dalleMiniRules({ encoderLayers: 1, decoderLayers: 1 }, 'linear')).map((name) =>
  name.replace(/^(en|de)coder\./, ''),
);

interface Parts {
  readonly encoder?: ExternalDict | undefined;
  readonly decoder?: ExternalDict | undefined;
  readonly detokenizer?: ExternalDict | undefined;
}

/** @throws DataError E_WEIGHTS_AMBIGUOUS when two files are the same part */
async function partsOf(files: ExternalFiles): Promise<Parts> {
  const dicts = await files.stateDicts();
  const only = (what: string, isOne: (dict: ExternalDict) => boolean): ExternalDict | undefined => {
    const [first, second] = dicts.filter(isOne);
    if (!first || !second) return first;
    throw new DataError(`two files are a ${what} of DALL·E mini: ${first.where}, ${second.where}`, {
      code: 'E_WEIGHTS_AMBIGUOUS',
      where: files.where,
      fix: 'give the files of one model',
    });
  };
  return {
    encoder: only('encoder', ({ tensors }) => tensors.has(LAYER) && !tensors.has(HEAD)),
    decoder: only('decoder', ({ tensors }) => tensors.has(LAYER) && tensors.has(HEAD)),
    detokenizer: only('VQGAN', isDetokenizer),
  };
}

/** Throws DataError E_WEIGHTS_INCOMPLETE that names what is not there. */
function assertBoth({ encoder, decoder }: Parts, where: string): void {
  if (encoder && decoder) return;
  const [there, missing] = encoder ? ['encoder', 'decoder'] : ['decoder', 'encoder'];
  throw new DataError(`these are the weights of min-dalle's ${there}, without its ${missing}`, {
    code: 'E_WEIGHTS_INCOMPLETE',
    where,
    fix: `put ${missing}.pt of the same model beside it, and give the folder`,
  });
}

export const minDalle: Converter = {
  reads: "min-dalle's DALL·E mini or mega: encoder.pt, decoder.pt, detoker.pt, vocab.json and merges.txt",
  takes: ['dvae', 'heads', 'tokenizer'],
  names: NAMES,

  async convert(files, options: ConvertOptions) {
    const parts = await partsOf(files);
    const { encoder, decoder } = parts;
    if (!encoder && !decoder) return undefined;
    const { where, notes } = files;
    assertBoth(parts, where);
    const tensors = new Map<string, ExternalTensor>();
    for (const [prefix, dict] of Object.entries({ encoder, decoder }))
      for (const [name, tensor] of dict?.tensors ?? []) tensors.set(`${prefix}.${name}`, tensor);
    const sizes = sizesOf(tensors, 'linear');
    const found =
      parts.detokenizer && detokenizer(parts.detokenizer.tensors, parts.detokenizer.where, sizes.grid);
    for (const dict of [encoder, decoder, parts.detokenizer]) if (dict) files.used.add(dict.where);
    const image = await imageTokenizerOf(found, sizes, options, { where, notes });
    const heads = headsOf(sizes.width, options, where, notes);
    // As min-dalle has it, whatever the model was trained with: the last code begins an image.
    const imageStart = image.vocabulary - 1;
    const model = parseModel(
      { ...sizes, heads, decoderHeads: heads, imageVocabulary: image.vocabulary, imageStart },
      where,
    );
    return converted('min-dalle', model, {
      tensors: dalleMiniWeights(tensors, model, { where, linear: 'linear', notes }),
      tokenizer: await minDalleTokenizer(files, options, model),
      image,
      // As MinDalle.generate_image has them.
      sample: { guidance: 16, topK: 256 },
    });
  },
};

export const dalleMini: Converter = {
  reads:
    "dalle-mini's DALL·E mini or mega: flax_model.msgpack, config.json and tokenizer.json, with its VQGAN as `dvae`",
  takes: ['dvae', 'config', 'tokenizer'],

  async convert(files, options: ConvertOptions) {
    const found = (await files.stateDicts()).map((dict) => ({ ...dict, tensors: fromFlax(dict.tensors) }));
    const [only, another] = found.filter(
      ({ tensors }) => tensors.has('decoder.lm_head.weight') && tensors.has(`encoder.${LAYER}`),
    );
    if (!only) return undefined;
    const { where } = only;
    const { notes } = files;
    if (another)
      throw new DataError(`two files are a DALL·E mini: ${where}, ${another.where}`, {
        code: 'E_WEIGHTS_AMBIGUOUS',
        where: files.where,
        fix: 'give the folder of one model',
      });
    files.used.add(where);
    const path = options.config ?? files.named('config.json');
    if (path === undefined)
      throw new UsageError('the weights have no config.json beside them', {
        code: 'E_WEIGHTS_INCOMPLETE',
        option: 'config',
        where,
        fix: 'give the whole folder, or the file as `config`',
      });
    const settings = await flaxSettings(path, notes);
    const sizes = sizesOf(only.tensors, 'plain');
    const image = await imageTokenizerOf(undefined, sizes, options, { where, notes });
    const model = parseModel({ ...sizes, ...settings, imageVocabulary: image.vocabulary }, path);
    return converted('dalle-mini', model, {
      tensors: dalleMiniWeights(only.tensors, model, { where, linear: 'plain', notes }),
      tokenizer: await flaxTokenizer(files, options, model),
      image,
      // As its notebook of inference has them.
      sample: { guidance: 10 },
    });
  },
};

/** @throws UsageError E_HEADS_MISSING where the published width of a head does not divide the width */
function headsOf(width: number, { heads }: ConvertOptions, where: string, notes: string[]): number {
  if (heads !== undefined) {
    if (width % heads === 0) return heads;
    throw unusable(
      `${heads} heads do not divide its width ${width}`,
      where,
      'give the heads it was trained with',
    );
  }
  if (width % HEAD_WIDTH !== 0)
    throw new UsageError(`the weights do not say how many heads their width of ${width} has`, {
      code: 'E_HEADS_MISSING',
      option: 'heads',
      where,
      fix: 'give `heads`: 16 for mini, 32 for mega',
    });
  notes.push(`${width / HEAD_WIDTH} heads of ${HEAD_WIDTH}, as both published models have; see \`heads\``);
  return width / HEAD_WIDTH;
}

interface Pieces {
  readonly tensors: Converted['contents']['model'];
  readonly tokenizer: NonNullable<Converted['contents']['tokenizer']>;
  readonly image: Awaited<ReturnType<typeof imageTokenizerOf>>;
  readonly sample: { readonly guidance: number; readonly topK?: number };
}

function converted(
  program: string,
  model: DalleMiniConfig,
  { tensors, tokenizer, image, sample }: Pieces,
): Converted {
  const { encoderLayers, decoderLayers, width } = model;
  return {
    what: `a DALL·E mini of ${program}, ${encoderLayers} + ${decoderLayers} layers of width ${width}`,
    contents: {
      kind: 'dalle',
      config: { model, sample },
      model: tensors,
      tokenizer,
      dvae: image.included,
    },
    ...(image.dvae && { dvae: image.dvae }),
  };
}
