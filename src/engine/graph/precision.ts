// Mixed precision: matrix products and convolutions of a compiled function run in its 16-bit type, everything else
// in 32 bits. A model that needs a product in 32 bits says so where it makes it.

export type Precision = 'float32' | 'bfloat16' | 'float16';

let kept = false;

/** Whether products made now stay in 32 bits whatever the function's precision. */
export const isKeptInFloat32 = (): boolean => kept;

/** Runs `body`; the matrix products and convolutions it makes, and those of their gradients, stay in 32 bits. */
export const inFloat32 = <T>(body: () => T): T => withFloat32(true, body);

/** Runs `body` in the scope, or outside of any. */
export function withFloat32<T>(isKept: boolean, body: () => T): T {
  const outer = kept;
  kept = isKept;
  try {
    return body();
  } finally {
    kept = outer;
  }
}
