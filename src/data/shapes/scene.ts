// What an image shows and its caption says, without where things are drawn: one object, several of the same
// kind, or two objects in a relation.

import type { Colour, Place, Relation, Shape, Size } from './vocabulary.ts';

export interface SceneObject {
  readonly colour: Colour;
  readonly shape: Shape;
  readonly size?: Size | undefined;
  readonly striped?: boolean;
}

export interface Scene {
  /** Two to four equal objects without a relation are a count. */
  readonly objects: readonly SceneObject[];
  /** The first of two objects is here, seen from the second. */
  readonly relation?: Relation;
  /** Where a single object is. */
  readonly place?: Place;
}
