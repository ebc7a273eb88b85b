"""What the machine reaches at most through PyTorch: a product of two square matrices, or reading numbers once.

ceilings.py product SIZE | read BYTES
"""

import sys

import torch

what, given = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
x = torch.rand(given, given) if what == "product" else torch.rand(given // 4)
print("ready", flush=True)
for _ in sys.stdin:
    print((x @ x)[0, 0].item() if what == "product" else x.sum().item(), flush=True)
