// The line of model code that made a node: the first stack frame outside the engine, tfjs and Node. A node of a
// gradient takes the line of the op that it is the gradient of, which says more than the line that asked for gradients.

import { fileURLToPath } from 'node:url';

const ENGINE_FOLDER = fileURLToPath(new URL('..', import.meta.url));
const PACKAGE_FOLDER = fileURLToPath(new URL('../../../', import.meta.url));
/** Frames that are kept of a stack: each costs time at every node, and the model's line lies within the first 31. */
const DEPTH = 40;

export interface Origin {
  /** Formatted lazily by V8, which keeps recording cheap. */
  readonly at: { readonly stack?: string };
  readonly ofGradient: boolean;
  /** The part of the model, where one was named with `inPart`. */
  readonly part?: string | undefined;
}

/** The origin of all nodes for now. */
let common: Origin | undefined;
let part: string | undefined;

/** Runs `body`; error messages about its ops and their gradients name the part. */
export function inPart<T>(name: string, body: () => T): T {
  const outer = part;
  part = name;
  try {
    return body();
  } finally {
    part = outer;
  }
}

/**
 * Runs `body`; its nodes have one origin, the current one. For what makes many nodes that say no more by a line each,
 * such as an optimizer's: to take down a stack is a quarter of a node's time.
 */
export const atOneOrigin = <T>(body: () => T): T => withOrigin(currentOrigin(), body);

/** The current stack, or that of the op whose gradient is being built. */
export function currentOrigin(): Origin {
  if (common) return common;
  const depth = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  const at = {};
  Error.captureStackTrace(at, currentOrigin);
  Error.stackTraceLimit = depth;
  return { at, ofGradient: false, part };
}

/** Runs `body`; its ops are recorded as the gradient of an op made at `origin`. */
export const inGradientOf = <T>({ at, part: made }: Origin, body: () => T): T =>
  withOrigin({ at, ofGradient: true, part: made }, body);

function withOrigin<T>(origin: Origin, body: () => T): T {
  const outer = common;
  common = origin;
  try {
    return body();
  } finally {
    common = outer;
  }
}

/** " by FILE:LINE:COLUMN" or " by the gradient of FILE:LINE:COLUMN"; empty when no line is known. */
export function describeOrigin({ at, ofGradient, part: made }: Origin): string {
  const line = modelLine(at.stack);
  if (line === undefined) return '';
  const of = made === undefined ? '' : ` of ${made}`;
  return ofGradient ? `${of} by the gradient of ${line}` : `${of} by ${line}`;
}

/** Runs `body`, which builds a function; adds the model line to errors that tfjs throws. */
export function withModelLine<T>(body: () => T): T {
  const depth = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  try {
    return body();
  } catch (error) {
    const thrower = error instanceof Error && framesOf(error.stack)[0];
    if (!thrower || !isOfPackage(thrower)) throw error;
    const by = describeOrigin({ at: error, ofGradient: false });
    throw by ? new Error(`${error.message} (called${by})`, { cause: error }) : error;
  } finally {
    Error.stackTraceLimit = depth;
  }
}

/** Whether a place is in tfjs or another package, bundled or not. This one may be in a node_modules itself. */
const isOfPackage = (place: string): boolean =>
  /node_modules|\/tfjs-\w+\/src\/|\/bundled\/tfjs\.cjs:/.test(
    place.startsWith(PACKAGE_FOLDER) ? place.slice(PACKAGE_FOLDER.length - 1) : place,
  );

function modelLine(stack: string | undefined): string | undefined {
  return framesOf(stack).find((frame) => !frame.startsWith(ENGINE_FOLDER) && !isOfPackage(frame));
}

/** FILE:LINE:COLUMN of each stack frame with a file. */
function framesOf(stack = ''): string[] {
  const frames = stack.matchAll(/^ +at .*?\(?((?:file:\/\/)?\/[^()]+:\d+:\d+)\)?$/gm);
  return Array.from(frames, ([, place]) => (place!.startsWith('file:') ? fileURLToPath(place!) : place!));
}
