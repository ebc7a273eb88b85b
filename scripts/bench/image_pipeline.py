"""The PyTorch side of image-pipeline.ts: a pass over a folder (ImageFolder) or tars (WebDataset) for each line.

image_pipeline.py folder|tars FOLDER IMAGES BATCH CROP WORKERS
"""

import glob
import sys

import torch
import webdataset
from torchvision import datasets, transforms

kind, folder, images, batch, crop, workers = sys.argv[1:]
images, batch, workers = int(images), int(batch), int(workers)
torch.set_num_threads(1)

cropped = (
    [transforms.Resize(256), transforms.CenterCrop(256)]
    if crop == "center"
    else [transforms.RandomResizedCrop(256, scale=(0.16, 1), ratio=(1, 1)), transforms.RandomHorizontalFlip()]
)
transform = transforms.Compose([*cropped, transforms.PILToTensor()])

if kind == "folder":
    dataset = datasets.ImageFolder(folder, transform)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=True, drop_last=True
    )
else:
    dataset = (
        webdataset.WebDataset(sorted(glob.glob(f"{folder}/*.tar")), shardshuffle=100)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("jpg")
        .map_tuple(transform)
        .batched(batch)
    )
    loader = webdataset.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=True)

print("ready", flush=True)
for _ in sys.stdin:
    seen = 0
    for batch_of in loader:
        seen += len(batch_of[0])
    print(seen, flush=True)
