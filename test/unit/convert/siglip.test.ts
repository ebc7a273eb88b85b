// What SigLIP's configurations say that its weights do not, and what is refused by its reason.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHuggingFaceSiglip } from '../../../src/convert/clip/hugging-face.ts';
import { readOpenClipConfig } from '../../../src/convert/clip/open-clip-config.ts';
import { openaiSettings } from '../../../src/convert/clip/settings.ts';
import { externalTensor, type StateDict } from '../../../src/convert/tensors.ts';

interface Edit {
  readonly model?: object;
  readonly vision?: object;
  readonly text?: object;
}
/** The published configuration of open_clip's ViT-B-16-SigLIP2, edited. */
const published = ({ model, vision, text }: Edit = {}) => ({
  model_cfg: {
    embed_dim: 768,
    init_logit_bias: -10,
    custom_text: true,
    vision_cfg: {
      image_size: 224,
      timm_model_name: 'vit_base_patch16_siglip_224',
      timm_model_pretrained: false,
      timm_pool: 'map',
      timm_proj: 'none',
      ...vision,
    },
    text_cfg: {
      context_length: 64,
      vocab_size: 256000,
      hf_tokenizer_name: 'timm/ViT-B-16-SigLIP2',
      tokenizer_kwargs: { clean: 'canonicalize' },
      width: 768,
      heads: 12,
      layers: 1,
      no_causal_mask: true,
      proj_bias: true,
      pool_type: 'last',
      norm_kwargs: { eps: 1e-6 },
      act_kwargs: { approximate: 'tanh' },
      ...text,
    },
    ...model,
  },
  preprocess_cfg: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], resize_mode: 'squash' },
});

/** Tensors of these shapes, whose elements nobody reads. */
const shapes = (all: Readonly<Record<string, readonly number[]>>): StateDict =>
  new Map(
    Object.entries(all).map(
      ([name, shape]) => [name, externalTensor('float32', shape, assert.fail)] as const,
    ),
  );
const WEIGHTS = {
  'visual.trunk.attn_pool.latent': [1, 1, 768],
  'visual.trunk.patch_embed.proj.weight': [768, 3, 16, 16],
  'token_embedding.weight': [256000, 768],
  positional_embedding: [64, 768],
  'transformer.resblocks.0.ln_1.weight': [768],
  'text_projection.weight': [768, 768],
  logit_bias: [],
};

const read = (edit?: Edit) => readOpenClipConfig(published(edit), 'config');
const settings = (weights: Readonly<Record<string, readonly number[]>>, edit?: Edit, options = {}) =>
  openaiSettings(shapes(weights), read(edit), options, 'weights');

test('each tower has the activation that its library gives it', () => {
  const { activation, image, text } = settings(WEIGHTS);
  assert.deepEqual([activation, image?.activation], ['gelu-tanh', 'gelu']);
  assert.deepEqual([image?.pool, image?.size, image?.heads, image?.normEpsilon], ['map', 224, 12, 1e-6]);
  assert.deepEqual([image?.resize, image?.mean?.[0]], ['squash', 0.5]);
  assert.deepEqual([text?.causal, text?.pool, text?.heads, text?.length], [false, 'last', 12, 64]);
  const first = settings(WEIGHTS, { text: { act_kwargs: undefined } });
  assert.deepEqual([first.activation, first.image?.activation], ['gelu', undefined]);
});

test("timm's names say the sizes", () => {
  for (const [name, width, layers, heads, size, isTanh] of [
    ['vit_so400m_patch14_siglip_384', 1152, 27, 16, 384, false],
    ['vit_so400m_patch16_siglip_256', 1152, 27, 16, 256, true],
    ['vit_base_patch32_siglip_256', 768, 12, 12, 256, true],
    ['vit_large_patch16_siglip_384', 1024, 24, 16, 384, false],
    ['vit_giantopt_patch16_siglip_384', 1536, 40, 16, 384, true],
  ] as const) {
    const { vision_cfg: vision } = read({ vision: { timm_model_name: name, image_size: size } }).model;
    assert.deepEqual(
      [vision.width, vision.layers, vision.width / vision.head_width, vision.image_size, vision.act_kwargs],
      [width, layers, heads, size, isTanh],
      name,
    );
  }
});

describe('refused', () => {
  const { logit_bias: _, ...unbiased } = WEIGHTS;
  const refused = (what: string, code: string, says: RegExp, run: () => unknown): void =>
    void test(what, () =>
      assert.throws(run, (error: Error & { code?: string }) => {
        assert.equal(error.code, code, error.message);
        assert.match(error.message, says);
        return true;
      }),
    );
  refused('a bias that the configuration does not have', 'E_CLIP_LOSS', /no init_logit_bias/, () =>
    settings(WEIGHTS, { model: { init_logit_bias: undefined } }),
  );
  refused('a bias that the weights do not have', 'E_CLIP_LOSS', /no logit_bias/, () => settings(unbiased));
  refused('weights without their configuration', 'E_CLIP_SETTINGS_MISSING', /how such a model pools/, () =>
    openaiSettings(shapes(WEIGHTS), undefined, { activation: 'gelu', preprocessing: 'siglip' }, 'weights'),
  );
  refused('another image size', 'E_CLIP_UNSUPPORTED', /keeps its positions: it reads 224 pixels/, () =>
    settings(WEIGHTS, {}, { imageSize: 256 }),
  );
  refused('a size that is not the tower’s', 'E_CLIP_UNSUPPORTED', /image_size is 256.*reads 224/, () =>
    read({ vision: { image_size: 256 } }),
  );
  refused('another tower of timm', 'E_CLIP_UNSUPPORTED', /image tower is convnext_base of timm/, () =>
    read({ vision: { timm_model_name: 'convnext_base' } }),
  );
  refused('another pooling of the tower', 'E_CLIP_UNSUPPORTED', /timm_pool/, () =>
    read({ vision: { timm_pool: 'avg' } }),
  );
  refused('a tower of transformers', 'E_CLIP_UNSUPPORTED', /text tower is nllb of transformers/, () =>
    read({ text: { hf_model_name: 'nllb' } }),
  );
  refused('NaFlex', 'E_CLIP_UNSUPPORTED', /NaFlex/, () =>
    fromHuggingFaceSiglip(
      shapes({ 'vision_model.embeddings.patch_embedding.weight': [768, 768] }),
      { model_type: 'siglip2' },
      'weights',
    ),
  );
});
