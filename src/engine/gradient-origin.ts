// Gradients traced back to model lines: an error in the gradient of an op names the line that made the op.

import { inGradientOf, whereNow } from './origin.ts';
import { tf } from './tf.ts';
import { isBuilding } from './trace.ts';

type Gradient = (dys: unknown) => Record<string, () => unknown>;

/** What of tfjs's engine keeps the ops to differentiate. */
interface Taping {
  addTapeNode(...node: unknown[]): void;
  readonly state: { readonly activeTape: { gradient?: Gradient }[] };
}

/** From here on each op on tfjs's tape remembers who made it while a function is being built. */
export function traceGradients(): void {
  const engine = tf.engine() as unknown as Taping;
  const addTapeNode = engine.addTapeNode.bind(engine);
  engine.addTapeNode = (...parameters) => {
    addTapeNode(...parameters);
    const node = engine.state.activeTape.at(-1);
    const gradient = node?.gradient;
    if (!gradient || !isBuilding()) return;
    const origin = whereNow();
    node.gradient = (dys) =>
      Object.fromEntries(
        Object.entries(inGradientOf(origin, () => gradient(dys))).map(([input, make]) => [
          input,
          () => inGradientOf(origin, make),
        ]),
      );
  };
}
