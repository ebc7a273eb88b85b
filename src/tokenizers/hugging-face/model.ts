// What the models of a tokenizer.json have in common.

export interface Model {
  /** Ids by token. */
  readonly ids: ReadonlyMap<string, number>;
  encode(piece: string): number[];
  /** Cuts a piece where no token reaches across, so that its words can be cached; undefined for a model that has no such places. */
  readonly words?: ((piece: string) => readonly string[]) | undefined;
}

/** Throws a DataError about the file. */
export type Fail = (what: string) => never;

/** The id of a token that the file has to have. */
export const idIn =
  (ids: ReadonlyMap<string, number>, fail: Fail) =>
  (token: string): number =>
    ids.get(token) ?? fail(`token "${token}" is not in the vocabulary`);

/** The ids of a text's bytes, spelled <0x00> to <0xFF>; undefined unless all are in the vocabulary. */
export function byteIds(text: string, ids: ReadonlyMap<string, number>): number[] | undefined {
  const found = Array.from(Buffer.from(text, 'utf8'), (byte) =>
    ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
  return found.includes(undefined) ? undefined : (found as number[]);
}
