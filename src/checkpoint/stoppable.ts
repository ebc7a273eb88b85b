// Tensors that are written one by one, and can be interrupted between them.

import { InterruptedError } from '../util/errors.ts';
import type { TensorSource } from './safetensors.ts';

/**
 * A tensor that is not read any more once the signal is aborted: InterruptedError says what was not written.
 * @param where what would have been written
 */
export function stoppable(
  source: TensorSource,
  signal: AbortSignal | undefined,
  what: string,
  where: string,
): TensorSource {
  const data = async () => {
    if (signal?.aborted) throw new InterruptedError(`stopped; ${what}`, { code: 'E_INTERRUPTED', where });
    return typeof source.data === 'function' ? source.data() : source.data;
  };
  return { ...source, data };
}
