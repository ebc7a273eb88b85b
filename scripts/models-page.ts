// docs/MODELS.md: what mm convert opens, as models-claims.ts says, and what the converters themselves say: their files, the
// names of their tensors, the wrappers, the preprocessings.

import { PREPROCESSINGS } from '../src/convert/clip/preprocessing.ts';
import { CONVERTERS } from '../src/convert/convert.ts';
import { FIRST_KEYS } from '../src/convert/files/held.ts';
import { OTHER_ENDINGS, OTHER_FORMATS } from '../src/convert/files/kinds.ts';
import { WRAPPERS } from '../src/convert/files/names.ts';
import { EXPORTERS } from '../src/export/export.ts';
import { EXPORT_FORMATS } from '../src/export/formats.ts';
import { FULL_SIZE, OPENS, REFUSED, VQGAN_SHAPES } from './models-claims.ts';

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

export function modelsPage(): string {
  const numbers = (values: readonly number[]): string =>
    values.map((x) => String(Number(x.toFixed(4)))).join(' ');
  return `# Models

Written by \`node --import tsx scripts/models-docs.ts\` from \`scripts/models-claims.ts\` and the converters in
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

## Out

\`mm export\` writes a checkpoint, or the newest one of a run, as the files of another program:

\`\`\`sh
mm export runs/clip --to transformers --out clip-hf
\`\`\`

${table(
  [code('--to'), 'of', 'what is written'],
  EXPORT_FORMATS.flatMap((format) =>
    EXPORTERS.filter((exporter) => exporter.format === format).map(({ kind, architecture, writes }) => [
      code(format),
      architecture === undefined ? kind : `${kind}, ${architecture}`,
      writes,
    ]),
  ),
)}

- What mm converted goes out as it came: names, shapes, types (16 bits stay 16), bytes, and the settings of its files,
  which a checkpoint keeps under \`source\` of its config.yaml and in \`external.safetensors\`.
  That holds where no option made another model of it (\`--image-size\`, \`--activation\` and others).
  What \`mm convert\` said it leaves out stays out; names of a DALL·E are those of DALLE-pytorch 1.6.6.
- What mm trained comes back by \`mm convert\` bit for bit.
  Of a DALL·E, one row that nothing reads is replaced: that of text token 0, which holds the start token.
- The weights are the EMA where there is one, as for sampling; \`--weights last\` takes the last step's.
- Tensors are read and written one by one; the output is written whole or not at all, and must not exist.
- A setting that the other program does not have is refused, with its name and what it would have to be.
- transformers and \`tokenizer.json\` have no step for mojibake and character references: of a tokenizer that cleans
  texts, \`--without-cleaning\` leaves it out. open_clip cleans texts itself.
- A model of YouTokenToMe with two tokens of one spelling has no \`tokenizer.json\`.
- DALL·E goes to DALLE-pytorch if it has only what that has: \`attention\` of full, axial-row, column and conv-like
  (\`kernelSize\` 5), \`gated\`, \`layerScale\`, \`zeroIsPadding\`, \`paddingTargets: each\`, and
  \`attentionBias: false\`. Train with these to hand it out.
- A SavedModel has its weights as variables, and a batch of any size. Pixels are bytes, \`[B, size, size, 3]\`.
  \`encode_texts\` takes ids with the start and the end token and the padding, \`text\`, and \`mask\`, 1 where a text is;
  features have length 1. \`decode\` gives pixels from 0 to 255.

Compared with the programs themselves: \`scripts/check/export.ts\`.

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
