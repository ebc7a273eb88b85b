// 16-bit floats to 32: every float16 and bfloat16 value has an exact float32.

import type { TensorData } from './dtype.ts';

/** IEEE 754 binary16 bits to a number. */
function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (fraction + 1024) * 2 ** (exponent - 25);
}

/** The same tensor in float32 if it is float16 or bfloat16; others unchanged. */
export function widen(tensor: TensorData): TensorData {
  const { dtype, shape, data } = tensor;
  if (dtype === 'float16') {
    return { dtype: 'float32', shape, data: Float32Array.from(data as Uint16Array, fromFloat16) };
  }
  if (dtype === 'bfloat16') {
    // The upper half of a float32.
    const bits = Uint32Array.from(data as Uint16Array, (half) => half << 16);
    return { dtype: 'float32', shape, data: new Float32Array(bits.buffer) };
  }
  return tensor;
}
