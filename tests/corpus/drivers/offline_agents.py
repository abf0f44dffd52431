"""The algorithms of d3rlpy, trained on what a random agent left behind."""

import d3rlpy
import gymnasium
import numpy

from driver import options

args = options(algorithm="DQN", task="CartPole-v1", episodes=20, steps=200, epoch=50, config={}, evaluate=False)
d3rlpy.seed(args.seed)
environment = gymnasium.make(args.task)
environment.action_space.seed(args.seed)
rows = {"observations": [], "actions": [], "rewards": [], "terminals": []}
for episode in range(args.episodes):
    seen, ended = environment.reset(seed=1000 * args.seed + episode)[0], False
    for step in range(60):
        action = environment.action_space.sample()
        after, reward, ended, cut, _ = environment.step(action)
        ended = ended or cut or step == 59
        for name, value in zip(rows, (seen, action, reward, float(ended))):
            rows[name].append(value)
        seen = after
        if ended:
            break
discrete = isinstance(environment.action_space, gymnasium.spaces.Discrete)
found = {name: numpy.array(values, dtype=numpy.float32) for name, values in rows.items()}
if discrete:
    found["actions"] = found["actions"].astype(int).reshape(-1, 1)
found["rewards"] = found["rewards"].reshape(-1)
data = d3rlpy.dataset.MDPDataset(**found)
encoder = d3rlpy.models.VectorEncoderFactory([32, 32])
Config = getattr(d3rlpy.algos, f"{args.algorithm}Config")
factories = {name: encoder for name in Config.__dataclass_fields__ if name.endswith("encoder_factory")}
agent = Config(**factories | {"batch_size": 32} | args.config).create(device="cpu")
more = {"evaluators": {"loss": d3rlpy.metrics.TDErrorEvaluator()}} if args.evaluate else {}
agent.fit(data, n_steps=args.steps, n_steps_per_epoch=args.epoch, show_progress=False, **more)
