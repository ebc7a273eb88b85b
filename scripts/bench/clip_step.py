"""open_clip's side of the bench of CLIP's train step: for each line of input one step, whose loss is printed.

clip_step.py MODEL BATCH
"""

import sys

import open_clip
import torch
from open_clip.loss import ClipLoss

name, batch = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(2)
torch.manual_seed(0)
model = open_clip.create_model(name, pretrained=None).train()
# As open_clip_train/main.py groups them: gains, biases and the logit scale without weight decay.
plain = [p for n, p in model.named_parameters() if p.ndim < 2 or "bn" in n or "ln" in n or "bias" in n or "logit_scale" in n]
chosen = {id(p) for p in plain}
decayed = [p for p in model.parameters() if id(p) not in chosen]
groups = [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.2}]
optimizer = torch.optim.AdamW(groups, lr=1e-5, betas=(0.9, 0.98), eps=1e-6, foreach=True)
loss_of = ClipLoss()
print("ready", flush=True)
for line in sys.stdin:
    random = torch.Generator().manual_seed(int(line))
    images = torch.randn(batch, 3, 224, 224, generator=random)
    texts = torch.randint(1, 49406, (batch, 77), generator=random)
    optimizer.zero_grad()
    loss = loss_of(*model(images, texts))
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, 4.6052)
    print(loss.item(), flush=True)
