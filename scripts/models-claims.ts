// What docs/MODELS.md says that no code knows: what was compared and how closely, and what is refused and why.

export interface Opens {
  readonly model: string;
  readonly files: string;
  /** Without `mm convert` and `--to`. */
  readonly command: string;
  readonly compared: string;
}

/** Models that open. A converter adds a row for each kind of file that people have of its model. */
export const OPENS: readonly Opens[] = [
  {
    model: "OpenAI's dVAE",
    files: '`encoder.pkl` and `decoder.pkl` of openai/DALL-E (cdn.openai.com/dall-e)',
    command: 'encoder.pkl decoder.pkl',
    compared:
      'the package `dall_e`: logits and pixels within 1e-4, codes identical; at the published size 1024 of 1024 codes, pixels within 0.0015 of 255',
  },
  {
    model: "DALLE-pytorch's `DiscreteVAE`",
    files: '`vae.pt` of its `train_vae.py`',
    command: 'vae.pt',
    compared: '`dalle_pytorch`: logits, pixels and loss within 1e-4, gradients within 1e-3, codes identical',
  },
  {
    model: "DALLE-pytorch's `DALLE`",
    files:
      "`dalle.pt` of its `train_dalle.py`, of any year, with its own `DiscreteVAE`, OpenAI's dVAE or a VQGAN, and its tokenizer",
    command: 'dalle.pt --tokenizer bpe_simple_vocab_16e6.txt',
    compared: '`dalle_pytorch`: logits and loss within 1e-4, for each attention kind and option',
  },
  {
    model: "DALLE-pytorch's `DALLE` without its image tokenizer",
    files: 'the same, and the checkpoint of the image tokenizer, converted before',
    command: 'dalle.pt --dvae runs/vqgan --tokenizer tokenizer.json',
    compared: 'the same',
  },
  {
    model: "min-dalle's DALL·E mini and mega",
    files:
      '`encoder.pt`, `decoder.pt`, `detoker.pt`, `vocab.json` and `merges.txt` in one folder; those of mini renamed',
    command: 'dalle_bart_mega',
    compared:
      '`min_dalle`: encoder and logits within 1e-4, tokens with top-k 1 and guidance the same, pixels within one level, ids identical',
  },
  {
    model: "min-dalle's VQGAN alone",
    files: '`detoker.pt`',
    command: 'detoker.pt',
    compared: 'the same; it makes images of codes only',
  },
  {
    model: "dalle-mini's DALL·E mini and mega",
    files:
      '`flax_model.msgpack`, `config.json` and `tokenizer.json` of mini-1, mega-1 or mega-1-fp16, and the checkpoint of the VQGAN',
    command: 'mega-1-fp16 --dvae runs/vqgan',
    compared:
      "weights that `flax` wrote equal min-dalle's, tensor for tensor; dalle-mini itself was not run. Captions are not normalized as in its training (`normalize_text`), which is said",
  },
  {
    model:
      'ruDALL-E: Malevich, Surrealist XL, Kandinsky (version 3); Emojich, the first Malevich (version 2)',
    files:
      'a folder of `pytorch_model.bin` or `pytorch_model_v3.bin`, and of shonenkov/rudalle-utils `bpe.model` and `vqgan.gumbelf8-sber.model.ckpt`; `--rudalle` where no name says the version',
    command: 'rudalle-Malevich',
    compared:
      '`rudalle` 1.1.3: logits within 1e-4, ids identical, the same image tokens with top-k 1, pixels within 1 of 255; of version 2 the loss; to 24 layers of width 256, not at the published width of 2048',
  },
  {
    model: 'ruCLIP',
    files:
      'a repository with `pytorch_model.bin`, `config.json` and `bpe.model`, such as ruclip-vit-base-patch32-384',
    command: 'ruclip-vit-base-patch32-384',
    compared:
      '`ruclip` 0.0.2: features and probabilities within 1e-4, ids identical; of images that are not square the crop differs by less than a pixel',
  },
  {
    model: "taming-transformers' VQGAN",
    files: '`last.ckpt` and `model.yaml` of f16-1024, f16-16384 or Gumbel f8',
    command: 'last.ckpt --config model.yaml',
    compared:
      '`taming-transformers-rom1504`, and through `dalle_pytorch`: features and pixels within 1e-4, codes identical; at real shapes below',
  },
  {
    model: "latent-diffusion's VQ autoencoders",
    files: '`model.ckpt` and `config.yaml` of vq-f4, vq-f8 or vq-f8-n256',
    command: 'model.ckpt --config config.yaml',
    compared:
      "taming's classes, without attention where `attn_type: none` says so; latent-diffusion itself is no package",
  },
  {
    model: "diffusers' `VQModel`",
    files: 'its folder: `config.json`, and `diffusion_pytorch_model` as `.safetensors` or `.bin`',
    command: 'vqvae',
    compared: '`diffusers`: features and pixels within 1e-4, codes identical; at a real shape below',
  },
  {
    model: "OpenAI's CLIP",
    files: '`RN50.pt` to `ViT-L-14-336px.pt` of openai/CLIP, and its `bpe_simple_vocab_16e6.txt.gz`',
    command: 'ViT-B-32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz',
    compared: 'open_clip with the same weights: features within 1e-4, ids identical',
  },
  {
    model: "open_clip's CLIP",
    files:
      'a repository with `open_clip_config.json`, such as laion/CLIP-ViT-H-14-laion2B-s32B-b79K; `.safetensors` or `.bin`',
    command: 'CLIP-ViT-H-14-laion2B-s32B-b79K',
    compared:
      'open_clip: features and probabilities within 1e-4, ids identical, for each of its configurations that open (`scripts/check/open-clip-configs.ts`), and at real sizes (below)',
  },
  {
    model: "open_clip's training checkpoints",
    files: '`checkpoints/epoch_32.pt`, with the configuration beside it, or what it says as flags',
    command: 'epoch_32.pt --tokenizer bpe_simple_vocab_16e6.txt.gz --activation gelu --preprocessing openai',
    compared: 'the same',
  },
  {
    model: "Hugging Face's `CLIPModel`",
    files:
      'a repository with `config.json`, `preprocessor_config.json` and `tokenizer.json`, such as openai/clip-vit-base-patch32; one file or shards',
    command: 'clip-vit-base-patch32',
    compared: '`transformers`: features within 1e-4, ids identical',
  },
  {
    model: "Hugging Face's `SiglipModel`: SigLIP, and SigLIP 2 of fixed resolution",
    files:
      'a repository with `config.json`, `preprocessor_config.json` and `tokenizer.json` or `spiece.model`, such as google/siglip-so400m-patch14-384 or google/siglip2-base-patch16-224',
    command: 'siglip2-base-patch16-224',
    compared:
      '`transformers`: features and sigmoids within 1e-5; ids identical on 300 strings, also odd ones, but for ties of one word written dozens of times without a space; small, with both tokenizers',
  },
  {
    model: "open_clip's SigLIP and SigLIP 2",
    files:
      "a repository with `open_clip_config.json`, such as timm/ViT-B-16-SigLIP or timm/ViT-SO400M-14-SigLIP2: timm's image tower, each tower with its own activation",
    command: 'ViT-B-16-SigLIP',
    compared:
      'open_clip: features and probabilities within 1e-4, ids identical, for its configurations that were run, at their widths with two layers (`scripts/check/open-clip-configs.ts`: ViT-B-16-SigLIP, its i18n-256, ViT-B-16-SigLIP2 and -256, ViT-B-32-SigLIP2-256, ViT-gopt-16-SigLIP2-256); three updates by its `SigLipLoss`: losses, gradient norms and weights within 1e-5',
  },
  {
    model: "DALLE-pytorch's `CLIP`",
    files: 'its state dictionary, and its `tokenizer.json`',
    command: 'clip.pt --tokenizer tokenizer.json',
    compared: '`dalle_pytorch`: similarities and loss within 1e-5',
  },
];

/** The figures of scripts/check/vqgan.ts. */
export const VQGAN_SHAPES: readonly (readonly string[])[] = [
  ['taming-transformers f16-1024', '1.5e-5', '7.5e-5', '1024', '100 %'],
  ['taming-transformers f16-16384', '1.6e-5', '8.1e-5', '1024', '100 %'],
  ['taming-transformers Gumbel f8', '1.5e-5', '5.3e-5', '4096', '100 %'],
  ['latent-diffusion vq-f4', '8.6e-6', '8.6e-5', '16384', '99.957 %'],
  ['latent-diffusion vq-f8', '1.8e-5', '4.8e-5', '4096', '99.976 %'],
  ['latent-diffusion vq-f8-n256', '1.4e-5', '7.0e-5', '4096', '100 %'],
  ['diffusers, as of aMUSEd', '2.0e-5', '8.4e-5', '1024', '100 %'],
];

/** What is refused by name, and why. */
export const REFUSED: readonly (readonly [what: string, why: string, help: string])[] = [
  [
    "open_clip's models with a timm image tower other than SigLIP's, or a Hugging Face text tower (EVA, ConvNeXt, XLM-RoBERTa)",
    'mm does not have those towers',
    'the message names the tower',
  ],
  [
    'AutoencoderKL, the first stage of Stable Diffusion',
    'its features are not codes of a codebook',
    'a VQModel or GumbelVQ',
  ],
  [
    'a VQGAN with linear attention, a tanh at its end, `resamp_with_conv: false` or norms of MoVQ',
    'mm does not compute them',
    'the message names the setting',
  ],
  [
    'a VQGAN whose files do not say the size of the images',
    'its weights fit images of every size',
    'its `model.yaml` as `--config`, or `--image-size 256`',
  ],
  [
    'the VQGAN of ruDALL-E whose decoder makes wavelets (`vqgan.gumbelf8-sber-dwt.model.ckpt`)',
    'mm does not compute them',
    '`vqgan.gumbelf8-sber.model.ckpt`, which decodes the same codes',
  ],
  [
    "Emojich's U-Net of transparency, and Real-ESRGAN",
    'they change images after they are sampled, and mm has neither',
    'the weights of ruDALL-E itself open',
  ],
  ['CoCa', 'it has a text decoder', 'the message says so'],
  [
    'SigLIP 2 of the kind NaFlex (`Siglip2Model`)',
    'it reads images of any proportions as masked patches',
    'a SigLIP 2 of fixed resolution',
  ],
  [
    'a CLIP whose configuration and weights disagree on a bias of the logits (`init_logit_bias`, `logit_bias`)',
    'the bias is what tells the sigmoid loss from the softmax loss',
    'the configuration of these weights',
  ],
  [
    'a CLIP with norms of queries and keys, or other settings that change features',
    'mm does not compute them',
    'the message names the setting',
  ],
  [
    'a CLIP whose files do not say its heads, activation or preprocessing',
    'a guess gives wrong features in silence',
    'the message names the flags and the candidates',
  ],
  [
    "a bare checkpoint of CLIPA's kind, without `visual.ln_pre`",
    'only its configuration says how it pools, and that its text tower is not causal',
    'the configuration beside it',
  ],
  [
    'several configurations or tokenizers among the files',
    'nothing says which of them the weights have',
    'the files of one model',
  ],
  [
    "DALLE-pytorch's `DALLE` with `sparse` layers",
    'DeepSpeed picks their random blocks at each start of a program; the file does not have them',
    'a model of the other attention types',
  ],
  [
    'byte-pair models of SentencePiece, and a `tokenizer.json` with a step that mm does not have',
    'the ids would be others',
    'the message names the step, and how transformers writes a `tokenizer.json`',
  ],
  [
    'quantized weights, GGUF, 8-bit floats',
    'mm reads floats of 16, 32 and 64 bits',
    'convert the weights from before quantization',
  ],
  [
    'DeepSpeed folders',
    'the weights are in parts, one for each process',
    'python zero_to_fp32.py FOLDER weights.pt',
  ],
  ['Git LFS pointers and web pages', 'they are not the weights', 'git lfs pull, or download the file itself'],
  [
    'pickles that name functions that run commands',
    'no weights need them; nothing of a file is run in any case',
    'ask for the weights alone',
  ],
];

/** Of scripts/check/open-clip-full-size.ts: configuration, weights, memory, memory above the largest tensor, differences. */
export const FULL_SIZE: readonly (readonly string[])[] = [
  [
    'ViT-L-14, mean 0.5 (laion2b_s32b_b82k)',
    '1711 MB, float32, safetensors',
    '346 MB',
    '194 MB',
    '1.0e-6',
    '1.5e-6',
    '1.2e-7',
  ],
  ['ViT-L-14-CLIPA', '1657 MB, float32, pt', '315 MB', '217 MB', '9.4e-7', '8.2e-7', '3.2e-8'],
  ['ViT-H-14', '3945 MB, float32, pt', '426 MB', '224 MB', '1.1e-6', '1.1e-6', '6.3e-8'],
  ['ViT-H-14', '3945 MB, float32, safetensors', '392 MB', '189 MB', '1.7e-6', '1.2e-6', '1.1e-7'],
  ['ViT-H-14', '1972 MB, float16, safetensors', '298 MB', '197 MB', '1.2e-6', '1.2e-6', '5.6e-8'],
  ['ViT-bigG-14', '5079 MB, float16, safetensors', '330 MB', '204 MB', '1.7e-6', '1.8e-6', '3.8e-8'],
  ['ViT-B-16-SigLIP', '813 MB, float32, safetensors', '326 MB', '228 MB', '6.5e-7', '6.8e-7', '9.5e-8'],
  [
    'ViT-SO400M-14-SigLIP-384',
    '3512 MB, float32, safetensors',
    '349 MB',
    '202 MB',
    '6.3e-7',
    '7.1e-7',
    '7.0e-8',
  ],
];
