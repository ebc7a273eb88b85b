// A tensor of a torch file whose elements mm does not read: quantized, sparse, of 8 bits, complex. It is an error only
// where it is wanted.

import type { TensorData } from '../../checkpoint/dtype.ts';
import { DataError } from '../../util/errors.ts';
import { External } from '../pickle/values.ts';
import type { ExternalTensor } from '../tensors.ts';

export class UnreadableTensor extends External implements ExternalTensor {
  readonly kind = 'a tensor';
  readonly dtype: string;
  readonly shape: readonly number[];

  constructor(dtype: string, shape: readonly number[]) {
    super();
    this.dtype = dtype;
    this.shape = shape;
  }

  rows(_start: number, count: number): UnreadableTensor {
    return new UnreadableTensor(this.dtype, [count, ...this.shape.slice(1)]);
  }

  /** @throws DataError E_WEIGHTS_UNSUPPORTED always */
  async read(): Promise<TensorData> {
    throw new DataError(`a tensor of ${this.dtype}, which mm does not read`, {
      code: 'E_WEIGHTS_UNSUPPORTED',
      fix: 'convert the weights from before quantization, in 16 or 32 bits',
    });
  }
}
