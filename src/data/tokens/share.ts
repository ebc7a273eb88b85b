// A share of a folder of token shards, for one of several programs that fill it together: a run of shards, of about as
// many as every other. Shares are disjoint, and all of them are the whole.

import { PARTIAL_MANIFEST } from './manifest.ts';

/** Share `index` of `of`, counted from 1. */
export interface Share {
  readonly index: number;
  readonly of: number;
}

/** The shards of a share: from `from` up to, but not including, `to`. */
export function shardsOf(
  { index, of }: Share,
  shards: number,
): { readonly from: number; readonly to: number } {
  return { from: Math.floor(((index - 1) * shards) / of), to: Math.floor((index * shards) / of) };
}

/** The file that records the finished shards of a share. */
export const partialManifest = (share?: Share): string =>
  share === undefined
    ? PARTIAL_MANIFEST
    : PARTIAL_MANIFEST.replace('.json', `-${share.index}-of-${share.of}.json`);

/** Whether a file records finished shards, of any share. */
export const isPartialManifest = (name: string): boolean =>
  /^manifest\.partial(-\d+-of-\d+)?\.json$/.test(name);
