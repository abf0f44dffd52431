"""Stable-Baselines3 and its contributions: an agent on a small task of gymnasium."""

import sb3_contrib
import stable_baselines3
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from driver import options

args = options(
    algorithm="PPO",
    task="CartPole-v1",
    policy="MlpPolicy",
    steps=1000,
    width=32,
    depth=2,
    environments=1,
    agent={},
    decay=0.0,
    evaluate=0,
    save=False,
    resume=False,
)
Agent = getattr(stable_baselines3, args.algorithm, None) or getattr(sb3_contrib, args.algorithm)
environment = make_vec_env(args.task, n_envs=args.environments, seed=args.seed)
if args.resume:
    agent = Agent.load("agent", environment, device="cpu")
else:
    if args.decay:
        args.agent["learning_rate"] = lambda remaining: args.decay * remaining
    shape = {"net_arch": [args.width] * args.depth}
    agent = Agent(args.policy, environment, seed=args.seed, device="cpu", policy_kwargs=shape, **args.agent)
callback = None
if args.evaluate:
    callback = EvalCallback(make_vec_env(args.task, seed=1), n_eval_episodes=1, eval_freq=args.evaluate, verbose=0)
agent.learn(args.steps, callback, reset_num_timesteps=not args.resume)
if args.save:
    agent.save("agent")
    if hasattr(agent, "replay_buffer"):
        agent.save_replay_buffer("replay")
print("return", evaluate_policy(agent, make_vec_env(args.task, seed=2), n_eval_episodes=1)[0])
