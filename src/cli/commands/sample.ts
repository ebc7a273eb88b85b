// mm sample: pictures for prompts.

import { join } from 'node:path';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .option('dalle', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        alias: ['dalle_path', 'dalle-path'],
        describe: 'checkpoint or run of mm train-dalle',
      })
      .option('prompt', {
        type: 'string',
        array: true,
        nargs: 1,
        demandOption: true,
        alias: 'text',
        describe: 'what the picture shows; repeatable',
      })
      .option('count', {
        type: 'number',
        default: 4,
        alias: ['num_images', 'num-images'],
        describe: 'pictures for each prompt',
      })
      .option('out', {
        type: 'string',
        default: 'samples',
        alias: ['outputs_dir', 'outputs-dir'],
        describe: 'folder for the pictures',
      })
      .option('seed', {
        type: 'number',
        default: 0,
        describe: 'of the first picture; the next ones count up',
      })
      .option('temperature', {
        type: 'number',
        default: 1,
        describe: 'below 1 likelier, above 1 more varied',
      })
      .option('top-k', {
        type: 'number',
        alias: 'top_k',
        describe:
          'draw from the k likeliest codes; below 1 the share of codes left out, as DALLE-pytorch means it',
      })
      .option('top-p', {
        type: 'number',
        describe: 'draw from the likeliest codes that make up this probability',
      })
      .option('guidance', {
        type: 'number',
        default: 1,
        describe: 'above 1 follows the caption more closely; needs a model trained with empty captions',
      })
      .option('batch-size', {
        type: 'number',
        default: 16,
        alias: 'batch_size',
        describe: 'pictures drawn at a time',
      })
      .option('truncate', {
        type: 'boolean',
        default: false,
        describe: 'cut prompts that are longer than the model reads',
      })
      .example(
        '$0 sample --dalle runs/dalle --prompt "a small red circle left of a blue square"',
        'four pictures',
      )
      .example(
        '$0 sample --dalle runs/dalle --prompt "a red circle" --count 16 --temperature 0.8 --top-k 64',
        'narrower',
      ),

  async run(flags, { log, print, json, progress, signal }) {
    const topK = flags['top-k'];
    const { temperature, 'top-p': topP, guidance, count, 'batch-size': batchSize, seed } = flags;
    inRange(
      '--temperature',
      temperature,
      temperature > 0 && Number.isFinite(temperature),
      'a number above 0',
    );
    inRange(
      '--top-k',
      topK,
      topK === undefined || (topK > 0 && (topK < 1 || Number.isInteger(topK))),
      'a whole number, or a share below 1',
    );
    inRange('--top-p', topP, topP === undefined || (topP > 0 && topP <= 1), 'a number above 0 and at most 1');
    inRange('--guidance', guidance, guidance >= 0 && Number.isFinite(guidance), 'a number from 0 on');
    for (const [name, value] of [
      ['--count', count],
      ['--batch-size', batchSize],
    ] as const) {
      inRange(name, value, Number.isInteger(value) && value > 0, 'a whole number from 1 on');
    }
    inRange('--seed', seed, Number.isInteger(seed) && seed >= 0, 'a whole number from 0 on');

    const [
      { Runtime },
      { readCheckpoint },
      { Artist },
      { keptCodes },
      { writePng, safeFileName, encodePng },
      { imageGrid },
      { writeGallery },
      { writeFileAtomic },
    ] = await Promise.all([
      import('../../engine/runtime.ts'),
      import('../../checkpoint/read.ts'),
      import('../../models/dalle/artist.ts'),
      import('../../models/dalle/filter.ts'),
      import('../../report/png.ts'),
      import('../../report/grid.ts'),
      import('../../report/gallery.ts'),
      import('../../util/files.ts'),
    ]);
    const checkpoint = await readCheckpoint(flags.dalle, {
      kind: 'dalle',
      warn: (message) => log.warn(message),
    });
    const runtime = new Runtime();
    try {
      const artist = await Artist.open(runtime, checkpoint);
      const settings = {
        temperature,
        topK: keptCodes(topK, artist.config.model.imageVocabulary),
        topP,
        guidance,
      };
      artist.checkSettings(settings);
      const requests = flags.prompt.flatMap((prompt) => {
        const tokens = artist.encode(prompt, flags.truncate);
        return Array.from({ length: count }, (_, i) => ({ prompt, tokens, seed: seed + i }));
      });
      const shown = Object.fromEntries(
        Object.entries({ temperature, 'top-k': settings.topK, 'top-p': topP, guidance }).filter(
          ([, value]) => value !== undefined,
        ),
      ) as Record<string, number>;
      const cells = [];
      const cards = [];
      const total = requests.length * artist.codec.grid ** 2;
      progress.start('sampling', total);
      const pictures = artist.draw(
        requests,
        settings,
        Math.min(batchSize, requests.length),
        (done) => progress.update(done),
        signal,
      );
      for await (const { prompt, seed: own, pixels, size } of interruptible(pictures, flags.out)) {
        const file = join(flags.out, `${safeFileName(prompt, cells.length)}.png`);
        const metadata = { prompt, seed: String(own), settings: JSON.stringify(shown), model: artist.hash };
        await writePng(file, pixels, size, size, { metadata });
        cells.push({ pixels, width: size, height: size, caption: prompt });
        cards.push({ png: await encodePng(pixels, size, size), prompt, seed: own, settings: shown });
        json({ prompt, seed: own, file });
      }
      progress.stop();
      const grid = join(flags.out, 'grid.png');
      await writeFileAtomic(
        grid,
        await imageGrid(cells, {
          columns: Math.min(8, flags.prompt.length > 1 ? count : Math.ceil(Math.sqrt(count))),
        }),
      );
      const gallery = join(flags.out, 'index.html');
      await writeGallery(gallery, {
        title: 'Samples',
        subtitle: checkpoint.path,
        sections: [{ title: 'Pictures', cards }],
      });
      print(`${cells.length} pictures in ${flags.out}\n${grid}\n${gallery}`);
    } finally {
      await runtime.close();
    }
  },
});

/** Ends with what is finished when the user interrupts. */
async function* interruptible<T>(pictures: AsyncIterable<T>, out: string): AsyncGenerator<T> {
  try {
    yield* pictures;
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped; the pictures that were finished are kept', { where: out });
  }
}

function inRange(flag: string, value: unknown, holds: boolean, expected: string): void {
  if (!holds)
    throw new UsageError(`${flag} is ${expected}, and got ${value}`, {
      where: flag,
      fix: 'mm sample --help says what each flag means',
    });
}
