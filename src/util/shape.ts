// Shapes of tensors.

/** Number of elements of a shape: the product of its dimensions, 1 for a scalar. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
