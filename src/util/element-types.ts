// Element types of tensors on the host and the typed arrays that hold them. The engine adds TensorFlow's numbers for
// them (engine/native/dtype.ts), checkpoints the codes of safetensors files (checkpoint/dtype.ts).

export type HostArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array | BigInt64Array;

/** float16 and bfloat16 are bit patterns in a Uint16Array; bool is one byte an element. */
export const HOST_ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

export type ElementType = keyof typeof HOST_ARRAYS;
