// mm export: a checkpoint as the files of other programs.

import { EXPORT_FORMATS } from '../../export/formats.ts';
import { defineCommand } from '../command.ts';
import { TEXT, withExamples } from '../help.ts';

/** What each takes, a line each. */
const TAKES = `format, of the program that reads it:
transformers: CLIP, as a folder of Hugging Face's CLIPModel with its processor and tokenizer;
open-clip: CLIP, as a folder of open_clip with its configuration and tokenizer;
openai: CLIP, as a state dictionary of openai/CLIP; a dVAE of architecture openai, as a folder of encoder.pkl and decoder.pkl;
dalle-pytorch: DALL·E, as dalle.pt; a dVAE or CLIP of architecture dalle-pytorch, as vae.pt or a state dictionary;
taming: a VQGAN, as a folder of last.ckpt and model.yaml of taming-transformers;
diffusers: a VQGAN, as a folder of a VQModel;
tokenizer: that of a CLIP or DALL·E, or a tokenizer's file, as tokenizer.json of Hugging Face's tokenizers;
saved-model: CLIP, a dVAE or a VQGAN, as a folder of a TensorFlow SavedModel`;

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .positional('from', {
          type: 'string',
          demandOption: true,
          describe: 'a checkpoint, or a run folder for its newest one; for tokenizer, also a file',
        })
        .option('to', {
          choices: EXPORT_FORMATS,
          demandOption: true,
          requiresArg: true,
          describe: TAKES,
        })
        .option('out', { ...TEXT, demandOption: true, describe: 'new file or folder' })
        .option('weights', {
          choices: ['best', 'last'] as const,
          default: 'best' as const,
          describe: "which weights of a run: the EMA where there is one (best), or the last step's own",
        })
        .option('without-cleaning', {
          type: 'boolean',
          default: false,
          describe: 'leave out what a tokenizer repairs in texts, which a tokenizer.json has no step for',
        }),
      [
        ["a CLIP for Hugging Face's transformers", 'export runs/clip --to transformers --out clip-hf'],
        ['a CLIP for open_clip', 'export runs/clip --to open-clip --out clip-oc'],
        ["a DALL·E for DALLE-pytorch's generate.py", 'export dalle --to dalle-pytorch --out dalle.pt'],
        ['its tokenizer', 'export dalle --to tokenizer --out tokenizer.json'],
        ['a dVAE for TensorFlow Serving', 'export runs/dvae --to saved-model --out dvae-tf/1'],
      ],
    ),

  async run({ from, to, out, weights, 'without-cleaning': withoutCleaning }, { json, print, log, signal }) {
    const [{ assertWritable }, { exportModel }, { dirname }] = await Promise.all([
      import('../../util/files.ts'),
      import('../../export/export.ts'),
      import('node:path'),
    ]);
    await assertWritable(dirname(out));
    const warn = (message: string): void => log.warn(message);
    const { what, notes } = await exportModel(from, { to, out, weights, withoutCleaning, signal, warn });
    for (const note of notes) warn(note.replaceAll('`to`', '--to'));
    print(`${out}: ${what}`);
    json({ out, to, what, notes });
  },
});
