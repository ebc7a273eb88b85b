// mm's side of min-dalle.ts: one step samples the first tokens of an image.
// min-dalle-mm.ts CHECKPOINT TOKENS PRECISION

import { loadCheckpoint } from '../../src/checkpoint/read.ts';
import { PRECISIONS } from '../../src/engine/graph/precision.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { useCallingThread } from '../../src/engine/session/threads.ts';
import { openDalleMini } from '../../src/inference/dalle-mini/generator.ts';
import { Sampler } from '../../src/inference/sampler/sampler.ts';
import { serve } from './in-turn.ts';

const [path = '', tokens = '16', type = 'float32'] = process.argv.slice(2);

await serve(async () => {
  useCallingThread();
  const runtime = new Runtime();
  const precision = PRECISIONS.find((each) => each === type) ?? 'float32';
  const generator = await loadCheckpoint(path, { kind: 'dalle', warn: console.warn }, (checkpoint) =>
    openDalleMini(runtime, checkpoint, precision),
  );
  const sampler = new Sampler(runtime, 'bench', generator.tokens, {
    batch: 1,
    settings: { temperature: 1, guidance: 16, topK: Math.min(256, generator.tokens.imageVocabulary) },
    frozen: true,
    releases: async () => true,
  });
  const captionTokens = generator.tokenizer.encode('a red circle');
  return async (seed) => {
    const stop = new AbortController();
    let last = 0;
    const sampled = sampler.sample(
      [{ captionTokens, seed }],
      (done, codes) => {
        last = codes[done - 1] as number;
        if (done === Number(tokens)) stop.abort();
      },
      stop.signal,
    );
    await sampled.catch((error: Error) => {
      if (error.name !== 'AbortError') throw error;
    });
    return last;
  };
});
