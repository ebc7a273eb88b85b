// Compiled functions over replicas: each replica gets separate inputs, besides those that all share.
//
//   const step = compileReplicated(runtime, 'step', (own, { rate }) => {
//     const gradients = eachReplica((r) => gradientsOf(own[r]!));
//     …
//   });
//   await step([{ x: firstHalf }, { x: secondHalf }], { rate });

import type { Examined } from '../graph/examine.ts';
import type { CompileOptions, InputType, NamedTensors, OnHost } from './compiled.ts';
import type { OpTime } from './op-times.ts';
import type { Runtime } from './runtime.ts';

/** Results of each replica, in their order, and those that the replicas have in common. */
interface Results<Each, Common> {
  readonly each: readonly Each[];
  readonly common: Common;
}

export interface Replicated<Own, Shared, Each, Common> {
  (
    own: readonly OnHost<Own>[],
    shared: OnHost<Shared>,
    times?: OpTime[],
  ): Promise<Results<OnHost<Each>, OnHost<Common>>>;
  /** See `Compiled`. */
  firstNonFinite(own: readonly OnHost<Own>[], shared: OnHost<Shared>): Promise<string | undefined>;
  /** See `Compiled`. */
  examine(own: readonly InputTypes<Own>[], shared: InputTypes<Shared>): Examined;
}

type InputTypes<T> = { readonly [K in keyof T]: InputType };

/** A replica's name among the inputs and results; the only replica's names are those of a function without replicas. */
const nameOf = (name: string, replica: number, replicas: number): string =>
  replicas === 1 ? name : `${name}/${replica}`;

/**
 * Turns `body` into a function that runs in the session, as `Runtime.compile` does.
 * @param body records what all replicas do, by `eachReplica`
 */
export function compileReplicated<
  Own extends NamedTensors,
  Shared extends NamedTensors,
  Each extends NamedTensors,
  Common extends NamedTensors,
>(
  runtime: Runtime,
  name: string,
  body: (own: readonly Own[], shared: Shared) => Results<Each, Common>,
  options: CompileOptions = {},
): Replicated<Own, Shared, Each, Common> {
  const { names } = runtime.replicas;
  const join = (each: readonly Readonly<Record<string, unknown>>[], common: object) => ({
    ...Object.fromEntries(
      each.flatMap((of, replica) =>
        Object.entries(of).map(([key, value]) => [nameOf(key, replica, names.length), value]),
      ),
    ),
    ...common,
  });
  /** The part of `joined` that `join` made of `each`, and the rest. */
  const part = (joined: Readonly<Record<string, unknown>>, keys: readonly string[]) => {
    const rest = { ...joined };
    const each = names.map((_, replica) => {
      const take = (key: string): [string, unknown] => {
        const taken = nameOf(key, replica, names.length);
        delete rest[taken];
        return [key, joined[taken]];
      };
      return Object.fromEntries(keys.map(take));
    });
    return { each, common: rest };
  };
  let ownKeys: readonly string[] = [];
  let eachKeys: readonly string[] = [];
  const compiled = runtime.compile(
    name,
    (inputs) => {
      const { each: own, common: shared } = part(inputs, ownKeys);
      const results = body(own as unknown as Own[], shared as Shared);
      eachKeys = Object.keys(results.each[0] ?? {});
      return join(results.each, results.common) as NamedTensors;
    },
    { ...options, deviceOf: (input) => deviceOf(input, names) },
  );
  const inputsOf = <Type extends InputType>(
    own: readonly { readonly [K in keyof Own]: Type }[],
    shared: { readonly [K in keyof Shared]: Type },
  ): Readonly<Record<string, Type>> => {
    if (own.length !== names.length)
      throw new RangeError(`${name}: ${names.length} replicas, and inputs for ${own.length}`);
    ownKeys = Object.keys(own[0] as object);
    return join(own, shared) as unknown as Readonly<Record<string, Type>>;
  };
  const call = async (own: readonly OnHost<Own>[], shared: OnHost<Shared>, times?: OpTime[]) =>
    part(await compiled(inputsOf(own, shared), times), eachKeys) as unknown as Results<
      OnHost<Each>,
      OnHost<Common>
    >;
  return Object.assign(call, {
    firstNonFinite: (own: readonly OnHost<Own>[], shared: OnHost<Shared>) =>
      compiled.firstNonFinite(inputsOf(own, shared)),
    examine: (own: readonly InputTypes<Own>[], shared: InputTypes<Shared>) =>
      compiled.examine(inputsOf(own, shared)),
  });
}

/** The device of the replica whose input it is. */
function deviceOf(input: string, names: readonly (string | undefined)[]): string | undefined {
  const replica = /\/(\d+)$/.exec(input)?.[1];
  return names.length === 1 || replica === undefined ? undefined : names[Number(replica)];
}
