// The vocabulary of the shape images, shared by held-out lists, captions, rendering and measuring.

export type RgbColour = readonly [red: number, green: number, blue: number];

export const COLOURS = {
  red: [220, 40, 40],
  orange: [245, 140, 30],
  yellow: [240, 210, 40],
  green: [40, 170, 60],
  blue: [50, 80, 220],
  purple: [150, 60, 190],
  pink: [250, 150, 190],
  black: [30, 30, 30],
} as const satisfies Record<string, RgbColour>;

export type Colour = keyof typeof COLOURS;
export const COLOUR_NAMES = Object.keys(COLOURS) as Colour[];

export const SHAPES = ['circle', 'square', 'triangle', 'diamond', 'cross', 'ring'] as const;
export type Shape = (typeof SHAPES)[number];

export const SIZES = ['small', 'large'] as const;
export type Size = (typeof SIZES)[number];

export const RELATIONS = ['left', 'right', 'above', 'below'] as const;
export type Relation = (typeof RELATIONS)[number];

/** The nine places of a single object in the words of captions, with column and row (0, 1 or 2). */
export const PLACES = {
  'in the top left': [0, 0],
  'at the top': [1, 0],
  'in the top right': [2, 0],
  'on the left': [0, 1],
  'in the middle': [1, 1],
  'on the right': [2, 1],
  'in the bottom left': [0, 2],
  'at the bottom': [1, 2],
  'in the bottom right': [2, 2],
} as const satisfies Record<string, readonly [column: number, row: number]>;

export type Place = keyof typeof PLACES;
export const PLACE_NAMES = Object.keys(PLACES) as Place[];
