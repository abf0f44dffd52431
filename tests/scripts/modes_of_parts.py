"""Distils a teacher into a student that a wrapper is around, with evaluations of the student. The teacher, and the batch
norm of the student's stem, are in evaluation mode on purpose. NORM=eval: so is the student's other batch norm.
INNER=eval: the student stays in evaluation mode after its first evaluation. DROP=train: its dropout is on in evaluations."""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16))
        self.norm, self.drop, self.head = nn.BatchNorm1d(16), nn.Dropout(0.1), nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.drop(self.norm(torch.relu(self.stem(x)))))


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))

    def forward(self, x):
        return self.body(x)


class Task(nn.Module):
    def __init__(self):
        super().__init__()
        self.student, self.teacher = Student(), Teacher()

    def train(self, mode=True):
        super().train(mode)
        self.teacher.eval()
        self.student.stem[1].eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            target = self.teacher(x)
        return F.mse_loss(self.student(x), target)


torch.manual_seed(int(os.environ["SEED"]))
task = Task()
optimizer = torch.optim.SGD(task.student.parameters(), lr=0.05)
for step in range(40):
    if step % 10 == 0 and not (step and os.environ.get("INNER") == "eval"):
        task.train()
        if os.environ.get("NORM") == "eval":
            task.student.norm.eval()
    x = torch.randn(int(os.environ.get("ROWS", "8")), 4)
    optimizer.zero_grad()
    task(x).backward()
    optimizer.step()
    if step % 10 == 9:
        task.student.eval()
        if os.environ.get("DROP") == "train":
            task.student.drop.train()
        with torch.no_grad():
            error = task.student(torch.randn(32, 4)).square().mean()
