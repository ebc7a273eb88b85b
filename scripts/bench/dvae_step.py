"""The PyTorch side of dvae-benches.ts: the `dall_e` package's encoder and decoder, channels-last, a step for each line.

dvae_step.py train|tokenize HIDDEN SIZE BATCH VOCABULARY FOLDER
"""

import math
import os
import sys

import torch
import torch.nn.functional as F
from dall_e.decoder import Decoder
from dall_e.encoder import Encoder
from PIL import Image
from torchvision import transforms

what, (hidden, size, batch, vocabulary), folder = sys.argv[1], map(int, sys.argv[2:6]), sys.argv[6]
torch.set_num_threads(2)
torch.manual_seed(0)
common = dict(device=torch.device("cpu"), requires_grad=False, use_mixed_precision=False)
encoder = Encoder(n_hid=hidden, n_blk_per_group=1, vocab_size=vocabulary, **common)
decoder = Decoder(n_init=hidden, n_hid=hidden, n_blk_per_group=1, vocab_size=vocabulary, **common)
encoder, decoder = (m.to(memory_format=torch.channels_last) for m in (encoder, decoder))
parameters = [p.requires_grad_() for p in [*encoder.parameters(), *decoder.parameters()]]
optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-2)


def train(step):
    x = 0.8 * torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last) + 0.1
    optimizer.zero_grad()
    logits = encoder(x)
    statistics = decoder(F.gumbel_softmax(logits, tau=1.0, dim=1))
    location, log_scale = statistics[:, :3], statistics[:, 3:]
    y = torch.logit(x)
    likelihood = ((y - location).abs() * torch.exp(-log_scale) + log_scale + torch.log(x * (1 - x)) + math.log(2)).mean()
    log_posterior = F.log_softmax(logits, 1)
    kl = (log_posterior.exp() * (log_posterior + math.log(vocabulary))).sum() / batch
    loss = likelihood + kl / (3 * size * size)
    loss.backward()
    optimizer.step()
    return loss.item()


class Images(torch.utils.data.Dataset):
    prepare = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()])

    def __init__(self):
        self.files = sorted(os.listdir(folder))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        with Image.open(os.path.join(folder, self.files[i])) as image:
            return self.prepare(image.convert("RGB"))


loader = torch.utils.data.DataLoader(Images(), batch_size=batch, num_workers=2, persistent_workers=True) if what == "tokenize" else None


def tokenize(_):
    with torch.inference_mode():
        for x in loader:
            encoder(0.8 * x.to(memory_format=torch.channels_last) + 0.1).argmax(1)
    return 0.0


run = train if what == "train" else tokenize
print("ready", flush=True)
for line in sys.stdin:
    print(run(int(line)), flush=True)
