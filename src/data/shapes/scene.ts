// A scene: what an image shows and its caption says, without exact positions. One object, several of the same kind, or
// two objects in a relation.

import type { Colour, Place, Relation, Shape, Size } from './vocabulary.ts';

export interface SceneObject {
  readonly colour: Colour;
  readonly shape: Shape;
  readonly size?: Size | undefined;
  readonly striped?: boolean;
}

export interface Scene {
  /** One object, two in a relation, or two to four equal ones without a relation (a count). */
  readonly objects: readonly SceneObject[];
  /** Position of the first of two objects relative to the second. */
  readonly relation?: Relation;
  /** Place of a single object. */
  readonly place?: Place;
}
