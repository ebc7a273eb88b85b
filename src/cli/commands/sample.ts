// mm sample: images for prompts.

import type { SampledImage } from '../../api/sample.ts';
import { counted } from '../../util/counted.ts';
import { InterruptedError } from '../../util/errors.ts';
import { type Context, defineCommand } from '../command.ts';
import {
  checkSampleFlags,
  SAMPLE_OPTION_FLAGS,
  type SampleFlags,
  sampleFlags,
  toOptions,
} from '../sample/flags.ts';
import type { SampleOutput } from '../sample/output.ts';

export const command = defineCommand({
  flags: sampleFlags,
  optionFlags: SAMPLE_OPTION_FLAGS,

  async run(flags, context) {
    checkSampleFlags(flags);
    const [
      { sample },
      { choiceOf },
      { assertWritable },
      { SampleOutput },
      { readPrompts },
      { TerminalImage },
    ] = await Promise.all([
      import('../../api/sample.ts'),
      import('../../api/options.ts'),
      import('../../util/files.ts'),
      import('../sample/output.ts'),
      import('../sample/prompts.ts'),
      import('../sample/terminal-image.ts'),
    ]);
    const { log, print, progress, signal, isQuiet } = context;
    const options = toOptions(flags);
    const prompts = await readPrompts(flags);
    await assertWritable(flags.out);
    const promptCount = prompts.length + (flags.complete?.length ?? 0) || 1;
    const { kept } = choiceOf(options);
    const output = new SampleOutput({
      folder: flags.out,
      prompts: promptCount,
      kept,
      columns: flags.grid || undefined,
      hasGrid: flags.grid !== 0,
    });
    const terminal = flags.preview && !isQuiet ? TerminalImage.on(process.stderr, process.env) : undefined;
    // With --best-of the grid's size is not fixed: it holds the best so far and the candidates in progress.
    const cells = options.bestOf === undefined ? kept * promptCount : undefined;
    const images = sample({
      ...options,
      ...(prompts.length > 0 && { prompts }),
      signal,
      onWarning: (message) => log.warn(message),
      onProgress: (done, all) => (done === 0 ? progress.start('sampling', all) : progress.update(done)),
      onCaption: (caption, beginning) => print(`${beginning}… → ${caption}`),
      ...(flags.preview && {
        onPreview: async (unfinished) => {
          const grid = await output.preview(unfinished, cells);
          if (grid) terminal?.show(grid);
        },
      }),
    });
    const isRepeated = await writeAll(images, output, flags, context);
    const grid = await output.finish();
    if (grid) terminal?.show(grid);
    progress.stop();
    const { count, grid: gridFile, page } = output;
    print(`${counted(count, 'image')} in ${flags.out}`);
    if (gridFile !== undefined) print(gridFile);
    print(page);
    if (isRepeated) print(`equal to ${flags.like} in every pixel`);
    if (isRepeated === false) {
      log.warn(
        `the image differs from ${flags.like}, with the same weights, prompt, seed and settings: it was sampled with another version of mm or libtensorflow, or on another processor`,
      );
    }
  },
});

/**
 * Writes the images as they come.
 * @returns with `--like`, whether the last image equals the file; undefined where prompt, seed or settings differ
 */
async function writeAll(
  images: AsyncIterable<SampledImage>,
  output: SampleOutput,
  { like, out }: SampleFlags,
  { json, progress }: Context,
): Promise<boolean | undefined> {
  const { isRepeated } = await import('../sample/repeated.ts');
  let isSame: boolean | undefined;
  try {
    for await (const image of images) {
      const file = await output.add(image);
      const { prompt, seed, score, completedFrom } = image;
      json({
        prompt,
        seed,
        file,
        ...(score !== undefined && { score }),
        ...(completedFrom !== undefined && { completedFrom }),
      });
      if (like !== undefined) isSame = await isRepeated(image, like);
    }
    return isSame;
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    progress.stop();
    await output.finish();
    throw new InterruptedError('stopped; the finished images are kept', {
      code: 'E_INTERRUPTED',
      where: out,
    });
  }
}
