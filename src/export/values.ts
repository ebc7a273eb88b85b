// JSON's values as those of a pickle.

import type { Json } from '../convert/origin.ts';
import type { TorchValue } from '../convert/torch/write.ts';

export function torchValue(value: Json): TorchValue {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(torchValue);
  return new Map(Object.entries(value).map(([key, part]) => [key, torchValue(part)]));
}
