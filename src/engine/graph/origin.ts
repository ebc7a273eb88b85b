// Which line of model code made a node: the first stack frame outside the engine, tfjs and Node. Nodes of a gradient
// are made by a line that says little, so they name the line of the op that they are the gradient of.

import { fileURLToPath } from 'node:url';

const ENGINE_FOLDER = fileURLToPath(new URL('..', import.meta.url));
const PACKAGE_FOLDER = fileURLToPath(new URL('../../../', import.meta.url));
const DEPTH = 60;

export interface Origin {
  /** Its text is only made when somebody asks, which keeps this cheap. */
  readonly at: { readonly stack?: string };
  readonly ofGradient: boolean;
  /** The part of the model, where it has names for them. */
  readonly part?: string | undefined;
}

let differentiated: Origin | undefined;
let part: string | undefined;

/** Runs `body`; messages about what it makes, and about the gradients of that, name the part. */
export function inPart<T>(name: string, body: () => T): T {
  const outer = part;
  part = name;
  try {
    return body();
  } finally {
    part = outer;
  }
}

/** The stack now, or that of the op whose gradient is being made. */
export function whereNow(): Origin {
  if (differentiated) return differentiated;
  const depth = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  const at = {};
  Error.captureStackTrace(at, whereNow);
  Error.stackTraceLimit = depth;
  return { at, ofGradient: false, part };
}

/** Runs `body`; what it makes belongs to the gradient of an op made at `origin`. */
export function inGradientOf<T>({ at, part: made }: Origin, body: () => T): T {
  const outer = differentiated;
  differentiated = { at, ofGradient: true, part: made };
  try {
    return body();
  } finally {
    differentiated = outer;
  }
}

/** " by FILE:LINE:COLUMN" or " by the gradient of FILE:LINE:COLUMN"; nothing where no line is known. */
export function byModelLine({ at, ofGradient, part: made }: Origin): string {
  const line = modelLine(at.stack);
  if (line === undefined) return '';
  const of = made === undefined ? '' : ` of ${made}`;
  return ofGradient ? `${of} by the gradient of ${line}` : `${of} by ${line}`;
}

/** Runs `body`, which builds a function; an error that tfjs throws names the model line, which its stack may not reach. */
export function withModelLine<T>(body: () => T): T {
  const depth = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  try {
    return body();
  } catch (error) {
    const thrower = error instanceof Error && places(error.stack)[0];
    if (!thrower || !isOfPackage(thrower)) throw error;
    const by = byModelLine({ at: error, ofGradient: false });
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
  return places(stack).find((place) => !place.startsWith(ENGINE_FOLDER) && !isOfPackage(place));
}

/** FILE:LINE:COLUMN of each frame that has a file. */
function places(stack = ''): string[] {
  const frames = stack.matchAll(/^ +at .*?\(?((?:file:\/\/)?\/[^()]+:\d+:\d+)\)?$/gm);
  return Array.from(frames, ([, place]) => (place!.startsWith('file:') ? fileURLToPath(place!) : place!));
}
