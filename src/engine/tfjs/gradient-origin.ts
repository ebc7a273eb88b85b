// Gradients traced back to the ops they are of: an error in a gradient names the line that made the op, and a product
// kept in 32 bits has its gradients in 32 bits.

import { currentOrigin, inGradientOf } from '../graph/origin.ts';
import { isKeptInFloat32, withFloat32 } from '../graph/precision.ts';
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
    const origin = currentOrigin();
    const isKept = isKeptInFloat32();
    const asMade = <T>(body: () => T): T => inGradientOf(origin, () => withFloat32(isKept, body));
    node.gradient = (dys) =>
      Object.fromEntries(
        Object.entries(asMade(() => gradient(dys))).map(([input, make]) => [input, () => asMade(make)]),
      );
  };
}
