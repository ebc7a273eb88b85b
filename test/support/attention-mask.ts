// A whole attention mask, pair by pair.

import type { AttentionKind } from '../../src/config/dalle-model.ts';
import { attends, type StreamLayout } from '../../src/nn/attention-kinds.ts';

/** Whether each of the first `positions` positions attends to each, rows first. */
export function attentionMask(
  kind: AttentionKind,
  layout: StreamLayout,
  positions = layout.prefix + layout.grid ** 2,
): Uint8Array {
  return Uint8Array.from({ length: positions ** 2 }, (_, i) =>
    Number(attends(kind, Math.floor(i / positions), i % positions, layout)),
  );
}
