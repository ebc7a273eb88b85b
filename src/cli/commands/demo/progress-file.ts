// result.json: the finished stages of a demo, so that an interrupted one can be resumed, and its result in the end.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { UsageError } from '../../../util/errors.ts';
import { writeFileAtomic } from '../../../util/files.ts';

const schema = z.looseObject({
  /** Whether it is of mm demo --quick; `note` says what that means. */
  quick: z.boolean().optional(),
  note: z.string().optional(),
  seed: z.int(),
  images: z.int(),
  stages: z.record(z.string(), z.looseObject({ seconds: z.number() })),
});

export type DemoResult = z.output<typeof schema>;

const file = (out: string): string => join(out, 'result.json');

/**
 * The result of an earlier demo in the folder; undefined where there is none.
 * @throws UsageError when it has another seed, size or number of images, or is no result of a demo
 */
export async function readResult(
  out: string,
  { seed, images, quick }: { seed: number; images: number; quick: boolean },
): Promise<DemoResult | undefined> {
  let text: string;
  try {
    text = await readFile(file(out), 'utf8');
  } catch {
    return undefined;
  }
  const fix = 'name another folder with --out, or start again with --restart';
  const parsed = schema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new UsageError('result.json is not of mm demo', { code: 'E_DEMO_FOLDER', where: file(out), fix });
  }
  const { data } = parsed;
  const wasQuick = data.quick === true;
  if (data.seed !== seed || data.images !== images || wasQuick !== quick) {
    const kind = wasQuick ? 'a quick demo' : 'a demo';
    throw new UsageError(`the folder holds ${kind} of seed ${data.seed} with ${data.images} images`, {
      code: 'E_DEMO_FOLDER',
      where: out,
      fix,
    });
  }
  return data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const writeResult = (out: string, result: DemoResult): Promise<void> =>
  writeFileAtomic(file(out), `${JSON.stringify(result, null, 2)}\n`);

/** Deletes what an earlier demo wrote into the folder, and nothing else. */
export async function clear(out: string, paths: readonly string[]): Promise<void> {
  for (const path of [...paths, file(out), join(out, 'grid.png'), join(out, 'index.html')])
    await rm(path, { recursive: true, force: true });
}
