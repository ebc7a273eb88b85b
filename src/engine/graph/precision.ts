// Mixed precision: matrix products and convolutions of a compiled function run in its 16-bit type, all other ops in
// float32. `inFloat32` marks the products of a model that must stay in float32.

export const PRECISIONS = ['float32', 'bfloat16', 'float16'] as const;
export type Precision = (typeof PRECISIONS)[number];

let kept = false;

/** True inside `inFloat32`. */
export const isKeptInFloat32 = (): boolean => kept;

/** Runs `body`; its matrix products and convolutions, and those of their gradients, stay in float32. */
export const inFloat32 = <T>(body: () => T): T => withFloat32(true, body);

/** Runs `body` inside the scope, or outside of it. */
export function withFloat32<T>(isKept: boolean, body: () => T): T {
  const outer = kept;
  kept = isKept;
  try {
    return body();
  } finally {
    kept = outer;
  }
}
