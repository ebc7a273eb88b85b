// Samples for prompts that nobody trained on, each judged from its pixels.

import { readCheckpoint } from '../../checkpoint/read.ts';
import { type HeldOutPrompt, heldOutPrompts } from '../../data/shapes/heldout.ts';
import { Runtime } from '../../engine/runtime.ts';
import { measureScene, type SceneMeasure } from '../../eval/shapes/measure.ts';
import { Artist, type Picture } from '../../models/dalle/artist.ts';
import type { SampleSettings } from '../../models/dalle/sample.ts';
import { InterruptedError } from '../../util/errors.ts';
import type { Context } from '../command.ts';

export type HeldOutKind = 'scenes' | 'pairs';

export interface JudgedSample extends Picture {
  readonly kind: HeldOutKind;
  readonly measure: SceneMeasure;
}

/** Pictures drawn at a time. */
const BATCH = 32;

/**
 * One sample for each prompt: `count` of held-out scenes and `count` of held-out pairs. None is chosen or left out.
 * @param checkpoint of mm train-dalle
 */
export async function sampleHeldOut(
  checkpoint: string,
  count: number,
  seed: number,
  settings: SampleSettings,
  { log, progress, signal }: Context,
): Promise<JudgedSample[]> {
  const asked = (['scenes', 'pairs'] as const).flatMap((kind) =>
    heldOutPrompts(kind, count, seed).map((prompt) => ({ kind, ...prompt })),
  );
  const runtime = new Runtime();
  try {
    const artist = await Artist.open(
      runtime,
      await readCheckpoint(checkpoint, { kind: 'dalle', warn: (message) => log.warn(message) }),
    );
    const requests = asked.map(({ prompt }, i) => ({
      prompt,
      tokens: artist.encode(prompt, false),
      seed: seed + i,
    }));
    progress.start('sampling held-out prompts', requests.length * artist.codec.grid ** 2);
    const samples: JudgedSample[] = [];
    for await (const picture of artist.draw(
      requests,
      settings,
      BATCH,
      (done) => progress.update(done),
      signal,
    )) {
      const { kind, scene } = asked[samples.length] as { kind: HeldOutKind } & HeldOutPrompt;
      samples.push({ ...picture, kind, measure: measureScene(picture.pixels, picture.size, scene) });
    }
    progress.stop();
    return samples;
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped while sampling', {
      where: checkpoint,
      fix: 'mm demo goes on from here',
    });
  } finally {
    await runtime.close();
  }
}

/** What result.json says of the samples. */
export function heldOutFigures(
  samples: readonly JudgedSample[],
): Record<HeldOutKind, { samples: number; right: number }> {
  const figures = (kind: HeldOutKind) => {
    const own = samples.filter((sample) => sample.kind === kind);
    return { samples: own.length, right: own.filter(({ measure }) => measure.right).length };
  };
  return { scenes: figures('scenes'), pairs: figures('pairs') };
}
