// The weights of the joint Transformer that Muon updates: the matrices of its layers.

import type { DalleConfig } from '../../config/dalle.ts';
import type { WeightEntries } from '../../nn/weights.ts';
import type { MuonOptions } from '../optim/adam.ts';

/** What Muon updates of the trained weights; undefined where Adam updates all. */
export function muonOf(
  trained: WeightEntries,
  { model, train }: Pick<DalleConfig, 'model' | 'train'>,
): MuonOptions | undefined {
  const { kind, momentum } = train.optimizer;
  if (kind !== 'muon') return undefined;
  const names = [...trained.keys()].filter((name) => /^blocks\..*\.weight$/.test(name));
  return { momentum, matrices: new Map(names.map((name) => [name, sideBySide(name, model.gated)])) };
}

/** Queries, keys and values are matrices by themselves; so are the values and the gates of GEGLU. */
function sideBySide(name: string, isGated: boolean): number {
  if (name.endsWith('.qkv.weight')) return 3;
  return isGated && name.endsWith('.expand.weight') ? 2 : 1;
}
