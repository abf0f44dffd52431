"""The training that `traincheck doctor` tries the hooks on: a bit of everything that is recorded."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def batches(loader):
    yield from loader


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    data = TensorDataset(torch.randn(16, 4), torch.randn(16, 1))
    for x, y in batches(DataLoader(data, batch_size=4, num_workers=1)):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        scheduler.step()
    model.eval()
    with torch.no_grad():
        model(data[:4][0])


if __name__ == "__main__":
    main()
