// Settings of SigLIP's towers, which the programs that read CLIP do not have.

import type { ClipImageConfig, ClipTextConfig } from '../../config/clip.ts';
import type { Demand } from '../demands.ts';

export const towerDemands = (image: ClipImageConfig, text: ClipTextConfig): Demand[] =>
  Object.entries({ image, text }).flatMap(([name, { activation, projection }]): Demand[] => [
    [`${name}.activation`, activation, [undefined]],
    [`${name}.projection`, projection, ['linear']],
  ]);
