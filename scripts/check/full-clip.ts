// A CLIP of full size with open_clip's random weights, opened as our converter reads it.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { widen } from '../../src/checkpoint/half.ts';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { fromOpenai } from '../../src/convert/clip/weights.ts';
import { externalTensor } from '../../src/convert/tensors.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import type { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipEncoder } from '../../src/inference/clip/encoder.ts';
import { clipSpec } from '../../src/models/clip/model.ts';
import { Weights } from '../../src/nn/weights.ts';

/** Opens FOLDER/model.safetensors of open_clip_peer.py, and the images beside it. */
export async function openFullClip(
  runtime: Runtime,
  folder: string,
): Promise<{ encoder: ClipEncoder; pixels: Uint8Array }> {
  const path = join(folder, 'model.safetensors');
  const file = await SafetensorsFile.open(path);
  try {
    const source = new Map(
      file.names.map((name) => {
        const { dtype, shape } = file.info(name);
        return [name, externalTensor(dtype, shape, () => file.read(name))];
      }),
    );
    const { model, tensors } = fromOpenai(source, path);
    const values = new Map<string, HostTensor>();
    for (const [name, { dtype, shape, data }] of tensors) {
      const read = data as () => Promise<TensorData['data']>;
      values.set(name, widen({ dtype, shape, data: await read() }) as HostTensor);
    }
    const weights = new Weights(runtime, 'clip', clipSpec(model));
    await weights.load(values);
    const encoder = new ClipEncoder(runtime, 'CLIP', model, weights);
    return { encoder, pixels: await readFile(join(folder, 'pixels.bin')) };
  } finally {
    await file.close();
  }
}
