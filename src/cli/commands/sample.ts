// mm sample: images for prompts.

import { InterruptedError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';
import { checkFlags, flagName, sampleFlags, toOptions } from '../sample/flags.ts';

export const command = defineCommand({
  flags: sampleFlags,

  async run(flags, { log, print, json, progress, signal, isQuiet }) {
    const { kept, columns, hasGrid } = checkFlags(flags);
    const [
      { sample },
      { assertWritable },
      { SampleOutput },
      { readPrompts },
      { isRepeated },
      { TerminalImage },
    ] = await Promise.all([
      import('../../api/sample.ts'),
      import('../../util/files.ts'),
      import('../sample/output.ts'),
      import('../sample/prompts.ts'),
      import('../sample/repeated.ts'),
      import('../sample/terminal-image.ts'),
    ]);
    const prompts = await readPrompts(flags);
    await assertWritable(flags.out);
    const count = prompts.length + (flags.complete?.length ?? 0) || 1;
    const output = new SampleOutput({ folder: flags.out, prompts: count, kept, columns, hasGrid });
    const inline = flags.preview && !isQuiet ? TerminalImage.on(process.stderr, process.env) : undefined;
    // With --best-of the grid holds the best so far and the candidates that are being drawn.
    const total = flags['best-of'] === undefined ? kept * count : undefined;
    const images = sample(
      {
        ...toOptions(flags),
        ...(prompts.length > 0 && { prompts }),
        signal,
        onWarning: (message) => log.warn(message),
        onProgress: (done, all) => (done === 0 ? progress.start('sampling', all) : progress.update(done)),
        onCaption: (caption, beginning) => print(`${beginning}… → ${caption}`),
        ...(flags.preview && {
          onPreview: async (unfinished) => {
            const grid = await output.preview(unfinished, total);
            if (grid) inline?.show(grid);
          },
        }),
      },
      flagName,
    );
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
        if (flags.like !== undefined) isSame = await isRepeated(image, flags.like);
      }
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error;
      progress.stop();
      await output.finish();
      throw new InterruptedError('stopped; the images that were finished are kept', { where: flags.out });
    }
    const grid = await output.finish();
    if (grid) inline?.show(grid);
    progress.stop();
    print(
      [
        `${output.count} ${output.count === 1 ? 'image' : 'images'} in ${flags.out}`,
        ...(output.grid === undefined ? [] : [output.grid]),
        output.page,
      ].join('\n'),
    );
    if (isSame) print(`the same as ${flags.like}, to the pixel`);
    if (isSame === false) {
      log.warn(
        `the image differs from ${flags.like}, though weights, prompt, seed and settings are the same: another version of mm, of libtensorflow or of the processor drew it`,
      );
    }
  },
});
