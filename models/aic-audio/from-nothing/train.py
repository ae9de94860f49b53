"""Trains AIC-A. See README.md for the commands; a run goes through four parts:

    start        the best linear codec in closed form, and k-means of what it gives
    stage 1      reconstruction and quantiser, a random number of stages per item; k-means anew
                 where the run has come to a quarter and to a half
    stage 3      the same with frames erased or thinned out in the decoder's input
    stage 2      the encoder and the codebooks stay as they are, the decoder learns on; from
                 --adversarial on a discriminator judges it too

With --steps a run depends on the seed alone (on one machine with one number of threads). With
--minutes the schedule follows the clock instead: what a machine manages in that time. Checkpoints
hold everything, and the same command goes on from the last one.
"""

import argparse
import copy
import json
import os
import pathlib
import time

import numpy as np
import torch

import data
from discriminator import Discriminator
from losses import Losses
from model import DELAY, FRAME, STAGES, Codec, load

WEIGHTS = {"mel": 1.0, "magnitude": 10.0, "root": 2.0, "commit": 0.25, "adversarial": 0.05, "matching": 0.1}
RESTARTS = (0.0, 0.25, 0.5)  # shares of the run at which k-means places the codebooks
SMOKE = {"minutes": 0.0, "steps": 60, "batch": 4, "every": 10, "start": 50, "files": 32}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--speech", nargs="+", required=True, help="folders of clean speech")
    p.add_argument("--noise", nargs="*", default=[], help="folders of noise")
    p.add_argument("--files", type=int, default=0, help="read no more files than this of a folder; 0 = all")
    p.add_argument("--out", default="runs/default", help="checkpoints, log and sample cache")
    p.add_argument("--weights", help="exported weights to begin with, instead of the linear start")
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--minutes", type=float, default=0.0)
    p.add_argument("--batch", type=int, default=16, help="segments per step")
    p.add_argument("--seconds", type=float, default=1.0, help="length of a segment")
    p.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    p.add_argument("--encoder", type=int, nargs=2, default=(192, 4), help="channels, blocks")
    p.add_argument("--decoder", type=int, nargs=2, default=(256, 6), help="channels, blocks")
    p.add_argument("--latent", type=int, default=96, help="values per frame that are quantised")
    p.add_argument("--linear", type=int, default=72, help="of these, what the linear start fills")
    p.add_argument("--start", type=int, default=600, help="segments for the start and for k-means")
    p.add_argument("--erase", type=float, default=0.5, help="share of the run after which frames are erased")
    p.add_argument("--freeze", type=float, default=0.7, help="share of the run after which only the decoder learns")
    p.add_argument("--adversarial", type=float, default=0.7, help="share of the run after which the discriminator judges; 1 = never")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--every", type=int, default=100, help="steps between two lines of the log")
    p.add_argument("--save", type=float, default=3.0, help="minutes between two checkpoints")
    p.add_argument("--smoke", action="store_true", help="two minutes on a CPU: everything runs once")
    args = p.parse_args()
    if args.smoke:
        vars(args).update(SMOKE)
    if not (args.steps or args.minutes):
        p.error("say --steps or --minutes")
    return args


def root_loss(made, wanted, stages):
    """Error of each spectrum over its own energy, quiet ones counting less; both [batch, spectra,
    2, bins]. The error in the root of the magnitude is about what the ear weighs, and its slope
    reaches the phase at once, where losses on the sound are flat as long as phase is wrong. Few
    stages cannot carry phase, and their items are let off: they are to keep the sound's colour."""
    error, energy = (x.square().sum((2, 3)) for x in (made - wanted, wanted))
    energy = energy + 0.05 * energy.mean(1, keepdim=True) + 1e-3
    return ((error / energy + 1e-4).sqrt() * (stages / 8).clamp(max=1)).mean()


class Run:
    """All that a checkpoint holds, and one step of it."""

    def __init__(self, args):
        self.args = args
        torch.manual_seed(args.seed)
        self.codec = Codec(tuple(args.encoder), tuple(args.decoder), args.latent).to(args.device)
        self.average = copy.deepcopy(self.codec).requires_grad_(False)
        self.judge = Discriminator().to(args.device)
        self.losses = Losses().to(args.device)
        self.opt = torch.optim.AdamW(self.codec.parameters(), args.rate, betas=(0.8, 0.99), weight_decay=1e-3, fused=True)
        self.judge_opt = torch.optim.AdamW(self.judge.parameters(), 3e-4, betas=(0.8, 0.99))
        # On the CPU whatever the device: indices drawn there pick rows anywhere.
        self.generator = torch.Generator().manual_seed(args.seed)
        speech, self.held = data.load(args.speech, args.out, args.files)
        noise = [data.read(f) * 32767 for folder in args.noise for f in data.files(folder, args.files)]
        self.segments = data.Segments(speech, noise, int(args.seconds * 50) * FRAME, args.seed)
        self.step, self.seconds, self.recent, self.placed = 0, 0.0, [], 0
        if args.weights:
            self.begin_with(args.weights)

    def begin_with(self, weights):
        """Finished weights of the same shape: no linear start, and the codebooks go on from theirs."""
        known = load(weights)
        if known.shape != self.codec.shape:
            raise SystemExit(f"{weights} has the shape {known.shape}, and the options say {self.codec.shape}")
        for codec in (self.codec, self.average):
            codec.load_state_dict(known.state_dict())
            codec.quantiser.follow_on(self.args.batch * int(self.args.seconds * 50))
        self.placed = len(RESTARTS)

    def progress(self):
        a = self.args
        return self.step / a.steps if a.steps else self.seconds / (a.minutes * 60)

    def one(self):
        a, p = self.args, self.progress()
        rate = a.rate * min(1.0, (self.step + 1) / 100) * (0.03 + 0.97 * max(0.0, 1 - p) ** 0.9)
        for group in self.opt.param_groups:
            group["lr"] = rate
        restarts = (*RESTARTS, a.freeze)
        if self.placed < len(restarts) and p >= restarts[self.placed]:
            self.place(last=self.placed == len(RESTARTS))
        wanted = self.segments.batch(a.batch).to(a.device)
        frozen = p >= a.freeze
        with torch.set_grad_enabled(not frozen):
            latent, _ = self.codec.encoder(wanted, self.codec.encoder.fresh(a.batch))
            stages, lost = self.stages(latent.shape[1], p >= a.erase)
            # The codebooks go on following the encoder that stays: no k-means is as thorough.
            self.codec.quantiser.decay = 0.998 if frozen else 0.99
            latent, commit = self.codec.quantiser(latent, stages, self.generator)
        latent = torch.where(lost.unsqueeze(2), self.codec.decoder.lost, latent)
        made, _, root = self.codec.decoder(latent, self.codec.decoder.fresh(a.batch))
        parts = {"root": root_loss(root, self.codec.decoder.wanted(wanted), stages.repeat_interleave(2, 1)), "commit": commit}
        made, wanted = made[:, DELAY:], wanted[:, :-DELAY]
        parts |= dict(zip(("mel", "magnitude"), self.losses(made, wanted)))
        if p >= a.adversarial:
            parts |= self.adversarial(made, wanted)
        loss = sum(WEIGHTS[name] * part for name, part in parts.items() if name in WEIGHTS)
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.opt.step()
        self.step += 1
        self.follow()
        self.recent.append({name: float(part.detach()) for name, part in parts.items()})

    def stages(self, frames, erase):
        """How many stages each frame keeps [batch, frames], and which frames are lost.

        A third of the items keep every stage, the others some (quantiser dropout). Where frames are
        erased, half of the items have them back at three stages, as redundancy does it."""
        a, random = self.args, self.segments.random
        some = np.array([1, 2, 3, 3, 3, 4, 6, 6])[random.integers(8, size=a.batch)]
        stages = np.where(random.random(a.batch) < 0.33, STAGES, some)[:, None].repeat(frames, 1)
        lost = np.zeros((a.batch, frames), dtype=bool)
        if erase:
            lost = self.segments.erasures(a.batch, frames)
            back = lost & (random.random(a.batch) < 0.5)[:, None]
            stages[back], lost = np.minimum(stages[back], 3), lost & ~back
        return torch.from_numpy(stages).to(a.device), torch.from_numpy(lost).to(a.device)

    @torch.no_grad()
    def place(self, last):
        """The linear start where there is nothing yet; then k-means of what the encoder gives.
        The last time the averaged encoder takes over, and stays; the codebooks know it already."""
        if last:
            self.codec.encoder.load_state_dict(self.average.encoder.state_dict())
            self.placed += 1
            return
        speech = torch.cat([self.segments.batch(50) for _ in range(max(1, self.args.start // 50))]).to(self.args.device)
        if self.placed == 0:
            off, kept = self.codec.start(speech, self.args.linear)
            print(f"linear start: {off:.3f} missed at once, {kept:.3f} kept in {self.args.linear} values", flush=True)
        encode = lambda x: self.codec.encoder(x, self.codec.encoder.fresh(len(x)))[0].flatten(0, 1)
        self.codec.quantiser.start(torch.cat([encode(x) for x in speech.split(50)]), self.generator)
        self.placed += 1
        print(f"step {self.step}: codebooks placed by k-means", flush=True)

    def adversarial(self, made, wanted):
        told = self.judge.loss(made, wanted)
        self.judge_opt.zero_grad(set_to_none=True)
        told.backward()
        self.judge_opt.step()
        self.judge.requires_grad_(False)
        fooled, matching = self.judge.judge(made, wanted)
        self.judge.requires_grad_(True)
        return {"adversarial": fooled, "matching": matching, "judge": told.detach()}

    @torch.no_grad()
    def follow(self):
        """Moving average of the weights, which is what gets exported."""
        keep = min(0.998, self.step / (self.step + 20))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.codec.parameters()), 1 - keep)
        for mine, theirs in zip(self.average.buffers(), self.codec.buffers()):
            mine.copy_(theirs)

    @torch.no_grad()
    def listen(self):
        """Mel loss of held-apart speakers by the averaged weights at 3, 6 and 12 stages."""
        found = {}
        for stages in (3, 6, 12):
            each = []
            for samples in self.held[:6]:
                x = torch.from_numpy(samples[:4 * 16000 // FRAME * FRAME]).to(self.args.device).unsqueeze(0)
                x = x[:, :x.shape[1] // FRAME * FRAME]
                y = self.average.decode(self.average.encode(x, stages))
                each.append(float(self.losses(y[:, DELAY:], x[:, :-DELAY])[0]))
            found[f"held_mel_{stages}"] = float(np.mean(each))
        return found

    def save(self, name):
        parts = ("codec", "average", "judge", "opt", "judge_opt")
        state = {part: getattr(self, part).state_dict() for part in parts}
        state |= {"step": self.step, "seconds": self.seconds, "placed": self.placed, "shape": self.codec.shape,
                  "numpy": self.segments.random.bit_generator.state, "torch": self.generator.get_state(),
                  "args": vars(self.args)}
        path = pathlib.Path(self.args.out) / name
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def resume(self):
        path = pathlib.Path(self.args.out) / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.args.device, weights_only=False)
        for part in ("codec", "average", "judge", "opt", "judge_opt"):
            getattr(self, part).load_state_dict(state[part])
        self.step, self.seconds, self.placed = state["step"], state["seconds"], state["placed"]
        self.segments.random.bit_generator.state = state["numpy"]
        self.generator.set_state(state["torch"].cpu())
        print(f"goes on from step {self.step}", flush=True)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    pathlib.Path(args.out).mkdir(parents=True, exist_ok=True)
    run = Run(args)
    run.resume()
    print(f"{sum(p.numel() for p in run.codec.parameters()) / 1e6:.2f} M parameters, "
          f"MMAC/s encoder {run.codec.mmacs()[0]:.0f} search {run.codec.mmacs()[1]:.0f} "
          f"decoder {run.codec.mmacs()[2]:.0f}, {args.device}", flush=True)
    first, last, saved, log = None, time.monotonic(), time.monotonic(), open(f"{args.out}/log.jsonl", "a")
    while run.progress() < 1:
        run.one()
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        if run.step % args.every == 0:
            line = {"step": run.step, "minutes": round(run.seconds / 60, 2), "progress": round(run.progress(), 3)}
            line |= {k: round(float(np.mean([r[k] for r in run.recent if k in r])), 4) for k in run.recent[-1]}
            line |= {k: round(v, 4) for k, v in (run.listen() if run.step % (5 * args.every) == 0 else {}).items()}
            print(json.dumps(line), file=log, flush=True)
            print(json.dumps(line), flush=True)
            first, mel, run.recent = first or line["mel"], line["mel"], []
        if now - saved > args.save * 60:
            saved = now
            run.save("last.pt")
    run.save("last.pt")
    print(f"done: {run.step} steps, {run.seconds / 60:.1f} minutes", flush=True)
    if args.smoke and not mel < first:
        raise SystemExit(f"nothing was learned: the mel loss went from {first} to {mel}")


if __name__ == "__main__":
    main()
