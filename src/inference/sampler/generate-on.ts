// The same generator on several devices: each takes a batch at a time.

import type { OfDevices } from '../../engine/session/each-device.ts';
import { spread } from '../../util/spread.ts';
import type { GeneratedImage, GenerateOptions, GenerateRequest, Pipeline } from './pipeline.ts';
import type { SampleSettings } from './sampling.ts';

/**
 * Generates images as `Pipeline.generate` does: the same images, in the order of the requests. `onToken` tells the
 * tokens of all devices together. An early end waits for the batches in flight, which `signal` stops.
 */
export async function* generateOn(
  pipelines: OfDevices<Pipeline>,
  requests: readonly GenerateRequest[],
  settings: SampleSettings,
  { batch, onToken, signal }: GenerateOptions,
): AsyncGenerator<GeneratedImage> {
  const [only, ...others] = pipelines;
  if (others.length === 0) return yield* only.generate(requests, settings, { batch, onToken, signal });
  const firsts = Array.from({ length: Math.ceil(requests.length / batch) }, (_, i) => i * batch);
  let done = 0;
  const batches = spread(pipelines, firsts, async (pipeline, first) => {
    let own = 0;
    const images: GeneratedImage[] = [];
    const generated = pipeline.generate(requests.slice(first, first + batch), settings, {
      batch,
      signal,
      onToken: (tokens, unfinished) => {
        done += tokens - own;
        own = tokens;
        onToken?.(done, { ...unfinished, first });
      },
    });
    for await (const image of generated) images.push(image);
    return images;
  });
  for await (const images of batches) yield* images;
}
