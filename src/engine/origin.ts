// Which line of model code made a node: the first stack frame outside the engine, tfjs and Node.

const ENGINE_FOLDER = new URL('.', import.meta.url).pathname;
const DEPTH = 60;

/** The stack now; its text is only made when somebody asks, which keeps this cheap. */
export function whereNow(): Error {
  const depth = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  const here = new Error();
  Error.captureStackTrace(here, whereNow);
  Error.stackTraceLimit = depth;
  return here;
}

/** "file:line:column" of the model line behind a stack, or undefined. */
export function modelLine(error: Error): string | undefined {
  for (const frame of error.stack?.split('\n').slice(1) ?? []) {
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
