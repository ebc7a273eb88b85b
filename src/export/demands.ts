// What a format has no setting for has to be as its program has it.

import type { ExportModel } from './model.ts';

/** A key of the model's configuration, its value, and the values that the other program has. */
export type Demand = readonly [key: string, value: unknown, allowed: readonly unknown[]];

const shown = (value: unknown): string =>
  value === undefined ? 'none' : JSON.stringify(value).replaceAll('"', '');

/**
 * @param program with its class, for the message
 * @throws DataError E_EXPORT_UNSUPPORTED naming every setting that the program does not have
 */
export function assertDemands(
  model: ExportModel,
  program: string,
  demands: readonly Demand[],
  fix: string,
): void {
  const refused = demands.filter(([, value, allowed]) => !allowed.some((one) => shown(one) === shown(value)));
  if (refused.length === 0) return;
  const list = refused.map(
    ([key, value, allowed]) => `model.${key} is ${shown(value)}, there ${allowed.map(shown).join(' or ')}`,
  );
  throw model.unsupported(`${program} has no place for this model: ${list.join('; ')}`, fix);
}
