// docs/MODELS.md: what mm convert opens, as written here, and what the converters themselves say: their files, the names
// of their tensors, the wrappers, the preprocessings.

import { PREPROCESSINGS } from '../src/convert/clip/preprocessing.ts';
import { CONVERTERS } from '../src/convert/convert.ts';
import { FIRST_KEYS } from '../src/convert/files/held.ts';
import { OTHER_ENDINGS, OTHER_FORMATS } from '../src/convert/files/kinds.ts';
import { WRAPPERS } from '../src/convert/files/names.ts';

export interface Opens {
  readonly model: string;
  readonly files: string;
  /** Without `mm convert` and `--to`. */
  readonly command: string;
  readonly compared: string;
}

/** Models that open. A converter adds a row for each kind of file that people have of its model. */
export const OPENS: readonly Opens[] = [
  {
    model: "OpenAI's dVAE",
    files: '`encoder.pkl` and `decoder.pkl` of openai/DALL-E (cdn.openai.com/dall-e)',
    command: 'encoder.pkl decoder.pkl',
    compared:
      'the package `dall_e`: logits and pixels within 1e-4, codes identical; at the published size 1024 of 1024 codes, pixels within 0.0015 of 255',
  },
  {
    model: "DALLE-pytorch's `DiscreteVAE`",
    files: '`vae.pt` of its `train_vae.py`',
    command: 'vae.pt',
    compared: '`dalle_pytorch`: logits, pixels and loss within 1e-4, gradients within 1e-3, codes identical',
  },
  {
    model: "DALLE-pytorch's `DALLE`",
    files:
      "`dalle.pt` of its `train_dalle.py`, of any year, with its own `DiscreteVAE`, OpenAI's dVAE or a VQGAN, and its tokenizer",
    command: 'dalle.pt --tokenizer bpe_simple_vocab_16e6.txt',
    compared: '`dalle_pytorch`: logits and loss within 1e-4, for each attention kind and option',
  },
  {
    model: "DALLE-pytorch's `DALLE` without its image tokenizer",
    files: 'the same, and the checkpoint of the image tokenizer, converted before',
    command: 'dalle.pt --dvae runs/vqgan --tokenizer tokenizer.json',
    compared: 'the same',
  },
  {
    model: "taming-transformers' VQGAN",
    files: '`last.ckpt` and `model.yaml` of f16-1024, f16-16384 or Gumbel f8',
    command: 'last.ckpt --config model.yaml',
    compared:
      '`taming-transformers-rom1504`, and through `dalle_pytorch`: features and pixels within 1e-4, codes identical; at real shapes below',
  },
  {
    model: "latent-diffusion's VQ autoencoders",
    files: '`model.ckpt` and `config.yaml` of vq-f4, vq-f8 or vq-f8-n256',
    command: 'model.ckpt --config config.yaml',
    compared:
      "taming's classes, without attention where `attn_type: none` says so; latent-diffusion itself is no package",
  },
  {
    model: "diffusers' `VQModel`",
    files: 'its folder: `config.json`, and `diffusion_pytorch_model` as `.safetensors` or `.bin`',
    command: 'vqvae',
    compared: '`diffusers`: features and pixels within 1e-4, codes identical; at a real shape below',
  },
  {
    model: "OpenAI's CLIP",
    files: '`RN50.pt` to `ViT-L-14-336px.pt` of openai/CLIP, and its `bpe_simple_vocab_16e6.txt.gz`',
    command: 'ViT-B-32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz',
    compared: 'open_clip with the same weights: features within 1e-4, ids identical',
  },
  {
    model: "open_clip's CLIP",
    files:
      'a repository with `open_clip_config.json`, such as laion/CLIP-ViT-H-14-laion2B-s32B-b79K; `.safetensors` or `.bin`',
    command: 'CLIP-ViT-H-14-laion2B-s32B-b79K',
    compared:
      'open_clip: features and probabilities within 1e-4, ids identical, for each of its configurations that open (`scripts/check/open-clip-configs.ts`), and at real sizes (below)',
  },
  {
    model: "open_clip's training checkpoints",
    files: '`checkpoints/epoch_32.pt`, with the configuration beside it, or what it says as flags',
    command: 'epoch_32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz --activation gelu --preprocessing openai',
    compared: 'the same',
  },
  {
    model: "Hugging Face's `CLIPModel`",
    files:
      'a repository with `config.json`, `preprocessor_config.json` and `tokenizer.json`, such as openai/clip-vit-base-patch32; one file or shards',
    command: 'clip-vit-base-patch32',
    compared: '`transformers`: features within 1e-4, ids identical',
  },
  {
    model: "DALLE-pytorch's `CLIP`",
    files: 'its state dictionary, and its `tokenizer.json`',
    command: 'clip.pt --tokenizer tokenizer.json',
    compared: '`dalle_pytorch`: similarities and loss within 1e-5',
  },
];

/** The figures of scripts/check/vqgan.ts. */
const VQGAN_SHAPES: readonly (readonly string[])[] = [
  ['taming-transformers f16-1024', '1.5e-5', '7.5e-5', '1024', '100 %'],
  ['taming-transformers f16-16384', '1.6e-5', '8.1e-5', '1024', '100 %'],
  ['taming-transformers Gumbel f8', '1.5e-5', '5.3e-5', '4096', '100 %'],
  ['latent-diffusion vq-f4', '8.6e-6', '8.6e-5', '16384', '99.957 %'],
  ['latent-diffusion vq-f8', '1.8e-5', '4.8e-5', '4096', '99.976 %'],
  ['latent-diffusion vq-f8-n256', '1.4e-5', '7.0e-5', '4096', '100 %'],
  ['diffusers, as of aMUSEd', '2.0e-5', '8.4e-5', '1024', '100 %'],
];

/** What is refused by name, and why. */
export const REFUSED: readonly (readonly [what: string, why: string, help: string])[] = [
  [
    "open_clip's models with a timm image tower or a Hugging Face text tower (SigLIP, EVA, ConvNeXt, XLM-RoBERTa)",
    'mm has neither those towers nor a bias of the logits',
    'the message names the tower',
  ],
  [
    'AutoencoderKL, the first stage of Stable Diffusion',
    'its features are not codes of a codebook',
    'a VQModel or GumbelVQ',
  ],
  [
    'a VQGAN with linear attention, a tanh at its end, `resamp_with_conv: false` or norms of MoVQ',
    'mm does not compute them',
    'the message names the setting',
  ],
  [
    'a VQGAN whose files do not say the size of the images',
    'its weights fit images of every size',
    'its `model.yaml` as `--config`, or `--image-size 256`',
  ],
  ['CoCa', 'it has a text decoder', 'the message says so'],
  [
    'a CLIP with norms of queries and keys, or other settings that change features',
    'mm does not compute them',
    'the message names the setting',
  ],
  [
    'a CLIP whose files do not say its heads, activation or preprocessing',
    'a guess gives wrong features in silence',
    'the message names the flags and the candidates',
  ],
  [
    "a bare checkpoint of CLIPA's kind, without `visual.ln_pre`",
    'only its configuration says how it pools, and that its text tower is not causal',
    'the configuration beside it',
  ],
  [
    'several configurations or tokenizers among the files',
    'nothing says which of them the weights have',
    'the files of one model',
  ],
  [
    "DALLE-pytorch's `DALLE` with `sparse` layers",
    'DeepSpeed picks their random blocks at each start of a program; the file does not have them',
    'a model of the other attention types',
  ],
  [
    'byte-pair models of SentencePiece, and a `tokenizer.json` with a step that mm does not have',
    'the ids would be others',
    'the message names the step, and how transformers writes a `tokenizer.json`',
  ],
  [
    'quantized weights, GGUF, 8-bit floats',
    'mm reads floats of 16, 32 and 64 bits',
    'convert the weights from before quantization',
  ],
  [
    'DeepSpeed folders',
    'the weights are in parts, one for each process',
    'python zero_to_fp32.py FOLDER weights.pt',
  ],
  ['Git LFS pointers and web pages', 'they are not the weights', 'git lfs pull, or download the file itself'],
  [
    'pickles that name functions that run commands',
    'no weights need them; nothing of a file is run in any case',
    'ask for the weights alone',
  ],
];

const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\n/g, ' ');
const row = (...cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(...head), row(...head.map(() => '---')), ...rows.map((cells) => row(...cells))].join('\n');

const code = (text: string): string => `\`${text}\``;
const pattern = (name: string): string => name.replaceAll(/(?<=^|\.)\d+(?=\.|$)/g, '#');

/** Kinds of names in the rules of a converter, and some of them. */
function namesOf(names: readonly string[]): [count: string, some: string] {
  const kinds = [...new Set(names.map(pattern))];
  const shown = [0, 0.5, 1].map((share) => kinds[Math.round(share * (kinds.length - 1))] as string);
  return [String(kinds.length), [...new Set(shown)].map(code).join(', ')];
}

/** Of scripts/check/open-clip-full-size.ts: configuration, weights, memory, memory above the largest tensor, differences. */
const FULL_SIZE: readonly (readonly string[])[] = [
  [
    'ViT-L-14, mean 0.5 (laion2b_s32b_b82k)',
    '1711 MB, float32, safetensors',
    '346 MB',
    '194 MB',
    '1.0e-6',
    '1.5e-6',
    '1.2e-7',
  ],
  ['ViT-L-14-CLIPA', '1657 MB, float32, pt', '315 MB', '217 MB', '9.4e-7', '8.2e-7', '3.2e-8'],
  ['ViT-H-14', '3945 MB, float32, pt', '426 MB', '224 MB', '1.1e-6', '1.1e-6', '6.3e-8'],
  ['ViT-H-14', '3945 MB, float32, safetensors', '392 MB', '189 MB', '1.7e-6', '1.2e-6', '1.1e-7'],
  ['ViT-H-14', '1972 MB, float16, safetensors', '298 MB', '197 MB', '1.2e-6', '1.2e-6', '5.6e-8'],
  ['ViT-bigG-14', '5079 MB, float16, safetensors', '330 MB', '204 MB', '1.7e-6', '1.8e-6', '3.8e-8'],
];

export function modelsPage(): string {
  const numbers = (values: readonly number[]): string =>
    values.map((x) => String(Number(x.toFixed(4)))).join(' ');
  return `# Models

Written by \`node --import tsx scripts/models-docs.ts\` from \`scripts/models-page.ts\` and the converters in
\`src/convert\`; change those, not this file.

Weights that other programs wrote become a checkpoint with one command:

\`\`\`sh
mm convert FILES… --to runs/theirs
\`\`\`

FILES are the files of one model, or its folder.
No file is executed or trusted: pickles are read as data.
What is left out, chosen or stored in another type is said; with \`--json\` it is in \`notes\`.

## What opens

${table(
  ['model', 'files', '`mm convert … --to NEW`', 'compared with, on random perturbed weights'],
  OPENS.map(({ model, files, command, compared }) => [model, files, code(command), compared]),
)}

A CLIP's \`--image-size\` and \`--text-length\` interpolate its positions as open_clip does;
a ResNet keeps its own.

## As files lie about

- Formats by content, whatever the ending: safetensors, \`torch.save\` of any version, TorchScript, whole modules.
- State dictionaries under any keys, of which these come first:
  ${FIRST_KEYS.filter(Boolean).map(code).join(', ')}.
  Moving averages come last; \`--part KEY\` chooses.
- Names with any prefix, and segments of wrappers anywhere in them:
  ${[...WRAPPERS].map(code).join(', ')}.
  \`--part PREFIX\` chooses one of several models.
- Shards by their index, or by their numbers; a missing one is named.
- Folders of trainers: optimizers, random states and settings beside the weights do no harm.
- Arrays, versions, integers and types that mm does not read do no harm beside the weights;
  a tensor that is needed and is of such a type is an error that names it.

## Types and memory

Weights of 16 and 32 bits are stored in the type they came in; float64 becomes float32, and is counted.
16-bit weights are widened when a model is opened.
Tensors are read, arranged and written one by one: the figures are under [Real sizes](#real-sizes).

## VQGANs

The sizes are read off the weights and compared with the YAML file, which is data: the class it names is never loaded.
Images are moved to [-1, 1], and cropped as for every dVAE.
With \`--image-size\` another size is taken, of which each level halves the sides.
The codes of a Gumbel VQGAN are the largest logits; DALLE-pytorch adds noise to them.
The discriminator, perceptual features and moving averages beside a model are left out and counted,
as is a \`remap\` of the codes: codes are the numbers of the whole codebook.
mm does not train VQGANs.

At the published shapes, with the random weights of taming-transformers and diffusers, perturbed, four images of
256 pixels; differences are relative to the root mean square.
The codebooks are made of the encoder's features, so that distances differ.
Command: \`scripts/check/vqgan.ts\`, on two cores of a busy machine.

${table(['shape', 'features', 'decoded pixels', 'codes', 'equal'], VQGAN_SHAPES)}

PyTorch's own rounding is of this size: against 64 bits, features of f16-16384 differ by 1.6e-5 and pixels by 1.0e-4.
Codebooks of thousands of vectors in 3 or 4 channels have some as near as one another but for rounding:
in 64 bits, the codes of vq-f4 and vq-f8 that PyTorch finds are not always the nearest
([LOG.md](LOG.md), "Nearest codes of few channels").

## Preprocessing of a CLIP

Taken from \`open_clip_config.json\` or \`preprocessor_config.json\`; where neither is there, \`--preprocessing\` names one:

${table(
  ['`--preprocessing`', 'mean', 'deviation', 'resize', 'interpolation'],
  Object.entries(PREPROCESSINGS).map(([name, { mean, stddev, resize, interpolation }]) => [
    code(name),
    numbers(mean),
    numbers(stddev),
    resize,
    interpolation,
  ]),
)}

## Real sizes

Random weights of open_clip's initialization, perturbed, at the published sizes, converted and compared with open_clip
in separate processes; differences of features are relative to their largest component.
Command: \`scripts/check/open-clip-full-size.ts\`; one thing at a time on two cores of a busy machine.

${table(['configuration', 'weights', 'memory of the conversion', 'above the largest tensor', 'image features', 'text features', 'probabilities'], FULL_SIZE)}

ViT-bigG-14 in float32, written by torch.save (10158 MB), was converted with at most 467 MB.

Of open_clip's 144 configurations and transformers' \`CLIPModel\`, at reduced depth and vocabulary,
56 are converted and equal within 1e-4 (the largest difference was 1.9e-6), with identical ids, and 89 are refused by
name (\`scripts/check/open-clip-configs.ts\`).

## What is refused, and why

${table(['what', 'why', 'what helps'], REFUSED)}

Also named, where a folder holds nothing else:

${[...OTHER_FORMATS, ...OTHER_ENDINGS].map(([, name]) => `- ${name}`).join('\n')}

Weights that no converter knows are shown by three of their names, with the nearest model.

## How models are recognized

By the names of their tensors, \`#\` being a number; the rules are in \`names.ts\` of each folder in \`src/convert\`.

${table(
  ['files', 'kinds of names', 'for example'],
  CONVERTERS.filter(({ names }) => names).map(({ reads, names = [] }) => [
    reads.replaceAll(/`(\w+)`/g, (_, key) => code(`--${key}`)),
    ...namesOf(names),
  ]),
)}
`;
}
