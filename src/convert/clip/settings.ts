// What a CLIP's tensors do not tell: heads, activation, preprocessing, pooling. From the configuration beside the weights,
// from options, or from the kind of the file; a setting that nothing tells is asked for, with the candidates.

import { RESNET_STRIDE } from '../../config/clip-towers.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { ConvertOptions } from '../external.ts';
import { misfit, type StateDict } from '../tensors.ts';
import type { OpenClipConfig } from './open-clip-config.ts';
import { PREPROCESSING_HINTS, PREPROCESSINGS, type Preprocessing } from './preprocessing.ts';
import { type ClipSettings, embeddingOf, patchesOf, SIGLIP_PROBE } from './weights.ts';

/** Width of a head by the width of a ViT or a text tower, in all of open_clip's configurations. */
const HEAD_WIDTHS: Readonly<Record<number, number>> = {
  ...{ 256: 64, 384: 64, 512: 64, 640: 64, 768: 64, 896: 64, 1024: 64 },
  ...{ 1280: 80, 1408: 88, 1664: 104, 1792: 112 },
};
const TEXT_HEAD_WIDTH = 64;
const TEXT_WIDTHS: readonly number[] = [256, 384, 512, 640, 768, 1024, 1280];
/** Widths of a head that are candidates where nothing tells. */
const CANDIDATES = [32, 48, 64, 80, 88, 96, 104, 112, 128];

/** OpenAI's archives, and they alone, hold these beside the weights. */
export const isOpenaiArchive = (source: StateDict): boolean =>
  ['input_resolution', 'context_length', 'vocab_size'].every((name) => source.has(name));

/** The preprocessing of the options, over `found` where only a part of it is given. */
export function chosenPreprocessing(
  { preprocessing, mean, std }: ConvertOptions,
  found: () => Preprocessing | undefined,
): Preprocessing | undefined {
  const base = preprocessing ? PREPROCESSINGS[preprocessing] : found();
  const given = { ...(mean && { mean: [...mean] }), ...(std && { stddev: [...std] }) };
  if (base) return { ...base, ...given };
  return mean && std ? { ...PREPROCESSINGS.openai, ...given } : undefined;
}

/** @throws UsageError E_CLIP_SETTINGS_MISSING naming all that is missing */
export function assertNothingMissing(missing: readonly string[], option: string, where: string): void {
  if (missing.length === 0) return;
  throw new UsageError(`nothing beside the weights tells ${missing.join('; nor ')}`, {
    code: 'E_CLIP_SETTINGS_MISSING',
    option,
    where,
    fix: "give these options, or put the configuration (open_clip_config.json, the model's file of open_clip/model_configs, or preprocessor_config.json) beside the weights",
  });
}

const headsHint = (width: number): string =>
  CANDIDATES.filter((head) => width % head === 0)
    .map((head) => `${width / head} (${head} wide)`)
    .join(', ') || `a divisor of ${width}`;

/**
 * Settings of weights with openai's names.
 * @param config open_clip's, if there is one
 * @throws UsageError E_CLIP_SETTINGS_MISSING where nothing tells them
 */
export function openaiSettings(
  source: StateDict,
  config: OpenClipConfig | undefined,
  options: ConvertOptions,
  where: string,
): ClipSettings {
  const isOpenai = isOpenaiArchive(source);
  const missing: [option: string, what: string][] = [];
  const activation =
    options.activation ??
    (config && activationOf(config, config.model.text_cfg)) ??
    (isOpenai ? 'quick-gelu' : undefined);
  if (activation === undefined)
    missing.push([
      'activation',
      "`activation`: quick-gelu (OpenAI's, and -quickgelu models) or gelu (most of open_clip's)",
    ]);
  const preprocessing = chosenPreprocessing(
    options,
    () => config?.preprocessing ?? (isOpenai ? PREPROCESSINGS.openai : undefined),
  );
  if (preprocessing === undefined)
    missing.push(['preprocessing', `\`preprocessing\`: ${PREPROCESSING_HINTS}`]);

  const isSiglip = source.has(SIGLIP_PROBE);
  const isVit = isSiglip || source.has('visual.proj');
  // Such models, of CLIPA and SigLIP, pool the image's patches and have a text tower that is not causal.
  if (!config && isVit && !source.has('visual.ln_pre.weight'))
    throw new DataError(
      'no configuration is beside weights without visual.ln_pre: how such a model pools, and whether its text tower is causal, is only there',
      {
        code: 'E_CLIP_SETTINGS_MISSING',
        where,
        fix: "put open_clip_config.json, or the model's file of open_clip/model_configs, beside the weights",
      },
    );
  const width = (isVit ? source.get(patchesOf(source))?.shape[0] : undefined) ?? 0;
  const known = isOpenai ? 64 : HEAD_WIDTHS[width];
  const heads = options.heads ?? (config ? headsOf(config) : known && Math.floor(width / known));
  if (isVit && heads === undefined)
    missing.push(['heads', `\`heads\` of the image tower: ${headsHint(width)}`]);
  const textWidth = source.get('positional_embedding')?.shape[1] ?? 0;
  const isKnown = isOpenai || TEXT_WIDTHS.includes(textWidth);
  const textHeads =
    options.textHeads ?? config?.model.text_cfg.heads ?? (isKnown ? textWidth / TEXT_HEAD_WIDTH : undefined);
  if (textHeads === undefined) missing.push(['textHeads', `\`textHeads\`: ${headsHint(textWidth)}`]);
  assertNothingMissing(
    missing.map(([, what]) => what),
    missing[0]?.[0] ?? '',
    where,
  );
  const fullWidth = isVit ? width : (source.get('visual.attnpool.q_proj.weight')?.shape[0] ?? 0);
  assertDivides('heads', options.heads, fullWidth, where);
  assertDivides('textHeads', options.textHeads, textWidth, where);
  if (isSiglip) assertKeepsPositions('SigLIP', config?.model.vision_cfg.image_size, options.imageSize, where);
  if (!isVit) assertKeepsPositions('CLIP with a ResNet', resnetSize(source), options.imageSize, where);
  assertLoss(source, config, where);
  const { image, text } = config ? configured(config) : {};
  if (config) assertFits(source, config);
  return {
    activation,
    image: {
      ...image,
      ...(config && !options.activation && imageActivation(config, activation)),
      ...preprocessing,
      ...(isVit || options.heads || config ? { heads } : {}),
      ...sizeOf(options.imageSize ?? config?.model.vision_cfg.image_size),
    },
    text: { ...text, heads: textHeads, ...(options.textLength && { length: options.textLength }) },
  };
}

/** @throws UsageError where a tower of such a width cannot have so many heads */
function assertDivides(
  option: 'heads' | 'textHeads',
  heads: number | undefined,
  width: number,
  where: string,
): void {
  if (heads === undefined || width % heads === 0) return;
  throw new UsageError(`a tower ${width} wide has no ${heads} heads of one width`, {
    code: 'E_OPTION_VALUE',
    option,
    where,
    fix: `candidates: ${headsHint(width)}`,
  });
}

/** Pixels on a side that a ResNet reads. */
function resnetSize(source: StateDict): number {
  const [positions = 1] = source.get('visual.attnpool.positional_embedding')?.shape ?? [];
  return Math.round(Math.sqrt(positions - 1)) * RESNET_STRIDE;
}

/** @throws UsageError where other positions would be needed: open_clip interpolates those of other ViTs alone */
function assertKeepsPositions(
  what: string,
  own: number | undefined,
  imageSize: number | undefined,
  where: string,
): void {
  if (imageSize === undefined || imageSize === own) return;
  throw new UsageError(`a ${what} keeps its positions: it reads ${own} pixels, received ${imageSize}`, {
    code: 'E_CLIP_UNSUPPORTED',
    option: 'imageSize',
    where,
    fix: 'leave `imageSize` out',
  });
}

const sizeOf = (size: number | undefined) => (size === undefined ? {} : { size });

/** Of the ViT, or of a ResNet's attention pooling, which is 32 times as wide as its stem. */
function headsOf({ model: { vision_cfg: vision } }: OpenClipConfig): number {
  const width = Array.isArray(vision.layers) ? vision.width * 32 : vision.width;
  return Math.floor(width / vision.head_width);
}

const POOLS = { tok: 'class', avg: 'mean', map: 'map' } as const;

/** Of the blocks of a tower. */
const activationOf = ({ model }: OpenClipConfig, tower: { readonly act_kwargs: boolean }) => {
  if (model.quick_gelu) return 'quick-gelu';
  return tower.act_kwargs ? 'gelu-tanh' : 'gelu';
};

/** The image tower's, where it is not the text tower's; those of timm know nothing of `quick_gelu`. */
function imageActivation(config: OpenClipConfig, text: ClipSettings['activation']): ClipSettings['image'] {
  const { vision_cfg: vision } = config.model;
  const isTimm = vision.pool_type === 'map';
  const own = isTimm && !vision.act_kwargs ? 'gelu' : activationOf(config, vision);
  return own === text ? {} : { activation: own };
}

/** @throws DataError E_CLIP_LOSS where the weights are not of the loss that the configuration says */
function assertLoss(source: StateDict, config: OpenClipConfig | undefined, where: string): void {
  if (!config) return;
  const hasBias = source.has('logit_bias');
  const isSigmoid = typeof config.model.init_logit_bias === 'number';
  if (hasBias === isSigmoid) return;
  throw new DataError(
    hasBias
      ? 'the weights have a bias of the logits (logit_bias), as of the sigmoid loss, and their configuration is one of the softmax loss: it has no init_logit_bias'
      : 'the configuration is one of the sigmoid loss (init_logit_bias), and the weights have no logit_bias',
    {
      code: 'E_CLIP_LOSS',
      where,
      fix: `give the weights their own configuration; this one is ${config.where}`,
    },
  );
}

function configured({
  model: { vision_cfg: vision, text_cfg: text },
}: OpenClipConfig): Pick<ClipSettings, 'image' | 'text'> {
  return {
    image: Array.isArray(vision.layers)
      ? {}
      : {
          normEpsilon: vision.norm_kwargs,
          pool: POOLS[vision.pool_type],
          normBeforePool: vision.pool_type === 'avg' && !vision.final_ln_after_pool,
        },
    text: {
      normEpsilon: text.norm_kwargs,
      causal: !text.no_causal_mask,
      pool: text.pool_type === 'last' ? 'last' : 'end',
      length: text.context_length,
    },
  };
}

/** @throws DataError E_WEIGHTS_MISMATCH where the configuration is another model's */
function assertFits(source: StateDict, { model, where }: OpenClipConfig): void {
  const { vision_cfg: vision, text_cfg: text } = model;
  const isResnet = Array.isArray(vision.layers);
  const imageWidth = source.get(isResnet ? 'visual.layer1.0.conv1.weight' : patchesOf(source))?.shape[0];
  const layers = (prefix: string): number =>
    new Set(
      [...source.keys()].flatMap((name) =>
        name.startsWith(prefix) ? [name.slice(prefix.length).split('.')[0]] : [],
      ),
    ).size;
  const pairs: readonly (readonly [string, number, number | undefined])[] = [
    ['embed_dim', model.embed_dim, embeddingOf(source)],
    ['vision_cfg.width', vision.width, imageWidth],
    ['text_cfg.width', text.width, source.get('positional_embedding')?.shape[1]],
    ['text_cfg.vocab_size', text.vocab_size, source.get('token_embedding.weight')?.shape[0]],
    ['text_cfg.layers', text.layers, layers('transformer.resblocks.')],
    // The layers of a timm tower are in its name alone, and of fewer is told when it is converted.
    ...(typeof vision.layers === 'number' && !source.has(SIGLIP_PROBE)
      ? [['vision_cfg.layers', vision.layers, layers('visual.transformer.resblocks.')] as const]
      : []),
  ];
  for (const [key, configured, found] of pairs)
    if (found !== configured)
      throw misfit(`${key} is ${configured}, the weights have ${found ?? 'none'}`, where);
}
