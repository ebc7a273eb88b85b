// Links each gradient to the op that it is the gradient of: an error in a gradient names the model line of the op, and
// a product inside `inFloat32` has its gradients in float32.

import { currentOrigin, inGradientOf } from '../graph/origin.ts';
import { isKeptInFloat32, withFloat32 } from '../graph/precision.ts';
import { tf } from './tf.ts';
import { isBuilding } from './trace.ts';

type Gradient = (dys: unknown) => Record<string, () => unknown>;

/** The members of tfjs's engine that record ops for differentiation. */
interface GradientTape {
  addTapeNode(...node: unknown[]): void;
  readonly state: { readonly activeTape: { gradient?: Gradient }[] };
}

/** Patches tfjs's tape: while a function is being built, each op on it stores its model line and precision scope. */
export function traceGradients(): void {
  const engine = tf.engine() as unknown as GradientTape;
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
