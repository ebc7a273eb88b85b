// Which line of model code made a node: the first stack frame outside the engine, tfjs and Node. Nodes of a gradient
// are made by a line that says little, so they name the line of the op that they are the gradient of.

const ENGINE_FOLDER = new URL('.', import.meta.url).pathname;
const DEPTH = 60;

export interface Origin {
  /** Its text is only made when somebody asks, which keeps this cheap. */
  readonly at: { readonly stack?: string };
  readonly ofGradient: boolean;
}

let differentiated: Origin | undefined;

/** The stack now, or that of the op whose gradient is being made. */
export function whereNow(): Origin {
  if (differentiated) return differentiated;
  const depth = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  const at = {};
  Error.captureStackTrace(at, whereNow);
  Error.stackTraceLimit = depth;
  return { at, ofGradient: false };
}

/** Runs `body`; what it makes belongs to the gradient of an op made at `origin`. */
export function inGradientOf<T>({ at }: Origin, body: () => T): T {
  const outer = differentiated;
  differentiated = { at, ofGradient: true };
  try {
    return body();
  } finally {
    differentiated = outer;
  }
}

/** " by FILE:LINE:COLUMN" or " by the gradient of FILE:LINE:COLUMN"; nothing where no line is known. */
export function byModelLine({ at, ofGradient }: Origin): string {
  const line = modelLine(at.stack);
  if (line === undefined) return '';
  return ofGradient ? ` by the gradient of ${line}` : ` by ${line}`;
}

function modelLine(stack: string | undefined): string | undefined {
  for (const frame of stack?.split('\n').slice(1) ?? []) {
    const place = /\(?((?:file:\/\/)?\/[^()]+:\d+:\d+)\)?$/.exec(frame)?.[1]?.replace('file://', '');
    if (
      place === undefined ||
      place.startsWith(ENGINE_FOLDER) ||
      /node_modules|\/tfjs-\w+\/src\//.test(place)
    )
      continue;
    return place;
  }
  return undefined;
}
