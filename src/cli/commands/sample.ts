// mm sample: pictures for prompts.

import { join } from 'node:path';
import type { Picture } from '../../models/dalle/artist.ts';
import { InterruptedError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';
import type { ScoredPicture } from '../sample/best-of.ts';
import { checkFlags, sampleFlags } from '../sample/flags.ts';

export const command = defineCommand({
  flags: sampleFlags,

  async run(flags, { log, print, json, progress, signal }) {
    const choice = checkFlags(flags);
    const { temperature, 'top-p': topP, guidance, seed } = flags;
    const [
      { Runtime },
      { readCheckpoint },
      { Clip },
      { Artist },
      { keptCodes },
      { writePng, safeFileName, encodePng },
      { imageGrid },
      { writeGallery },
      { writeFileAtomic },
      { bestOf, checkPrompts },
      { readPrompts },
    ] = await Promise.all([
      import('../../engine/runtime.ts'),
      import('../../checkpoint/read.ts'),
      import('../../models/clip/clip.ts'),
      import('../../models/dalle/artist.ts'),
      import('../../models/dalle/filter.ts'),
      import('../../report/png.ts'),
      import('../../report/grid.ts'),
      import('../../report/gallery.ts'),
      import('../../util/files.ts'),
      import('../sample/best-of.ts'),
      import('../sample/prompts.ts'),
    ]);
    const prompts = await readPrompts(flags.prompt ?? [], flags.prompts ?? []);
    const warn = (message: string): void => log.warn(message);
    const checkpoint = await readCheckpoint(flags.dalle, { kind: 'dalle', warn });
    const chooser =
      choice.clip === undefined ? undefined : await readCheckpoint(choice.clip, { kind: 'clip', warn });
    const runtime = new Runtime();
    try {
      const artist = await Artist.open(runtime, checkpoint);
      const settings = {
        temperature,
        topK: keptCodes(flags['top-k'], artist.config.model.imageVocabulary),
        topP,
        guidance,
      };
      artist.checkSettings(settings);
      const requests = prompts.flatMap((prompt) => {
        const tokens = artist.encode(prompt, flags.truncate);
        return Array.from({ length: choice.drawn }, (_, i) => ({ prompt, tokens, seed: seed + i }));
      });
      const batch = Math.min(flags['batch-size'], requests.length);
      const selection = chooser && {
        ...choice,
        clip: await Clip.open(runtime, chooser),
        batch,
        truncate: flags.truncate,
      };
      if (selection) checkPrompts(selection, prompts);
      const shown = Object.fromEntries(
        Object.entries({ temperature, 'top-k': settings.topK, 'top-p': topP, guidance }).filter(
          ([, value]) => value !== undefined,
        ),
      ) as Record<string, number>;
      const cells = [];
      const cards = [];
      const total = requests.length * artist.codec.grid ** 2;
      progress.start('sampling', total);
      const drawn = artist.draw(requests, settings, batch, (done) => progress.update(done), signal);
      const pictures: AsyncIterable<Picture & Partial<ScoredPicture>> = selection
        ? bestOf(drawn, selection)
        : drawn;
      for await (const { prompt, seed: own, pixels, size, score } of interruptible(pictures, flags.out)) {
        const file = join(flags.out, `${safeFileName(prompt, cells.length)}.png`);
        const scored = score === undefined ? {} : { score };
        const metadata = {
          prompt,
          seed: String(own),
          settings: JSON.stringify(shown),
          model: artist.hash,
          ...(selection && { score: String(score), clip: selection.clip.hash }),
        };
        await writePng(file, pixels, size, size, { metadata });
        const caption = score === undefined ? prompt : `${score.toFixed(3)} ${prompt}`;
        cells.push({ pixels, width: size, height: size, caption });
        cards.push({
          png: await encodePng(pixels, size, size),
          prompt,
          seed: own,
          settings: shown,
          ...scored,
        });
        json({ prompt, seed: own, file, ...scored });
      }
      progress.stop();
      const grid = join(flags.out, 'grid.png');
      await writeFileAtomic(
        grid,
        await imageGrid(cells, {
          columns: Math.min(8, prompts.length > 1 ? choice.kept : Math.ceil(Math.sqrt(choice.kept))),
        }),
      );
      const gallery = join(flags.out, 'index.html');
      await writeGallery(gallery, {
        title: 'Samples',
        subtitle: checkpoint.path,
        sections: [{ title: 'Pictures', cards }],
      });
      print(
        `${cells.length} ${cells.length === 1 ? 'picture' : 'pictures'} in ${flags.out}\n${grid}\n${gallery}`,
      );
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
