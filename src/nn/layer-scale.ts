// LayerScale (arXiv 2103.17239): learned channel scales on the update of a branch.

/** Initial value in DALLE-pytorch: the deeper the layer, counted from 1, the less it adds at first. */
export const layerScaleInit = (layer: number): number => (layer <= 18 ? 0.1 : layer <= 24 ? 1e-5 : 1e-6);
