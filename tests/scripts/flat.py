"""Everything at the top level: two epochs of accumulation, evaluation after each; then another model's loop."""

import torch
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(24, 4), torch.randn(24, 1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.step()

for epoch in range(2):
    model.train()
    for index in range(6):
        part = slice(4 * index, 4 * index + 4)
        (F.mse_loss(model(x[part]), y[part]) / 3).backward()
        if index % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        for index in range(2):
            print(epoch, repr(F.mse_loss(model(x[:8]), y[:8]).item()))

other = torch.nn.Linear(4, 1)
optimizer = torch.optim.Adam(other.parameters())
for index in range(5):
    optimizer.zero_grad()
    F.mse_loss(other(x), y).backward()
    optimizer.step()
print("done", flush=True)
