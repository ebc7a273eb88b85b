// A share of something, written as a number from 0 to 1 or as a percentage.

/** `1%`, `0.5 %` or `0.01` as a number from 0 to 1; undefined for anything else. */
export function parseShare(text: string): number | undefined {
  const [, digits, percent] = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const share = percent === '%' ? Number(digits) / 100 : Number(digits);
  return share <= 1 ? share : undefined;
}
