"""Cost of our Longformer beside Hugging Face's, on a CPU, with the same random weights: `make bench-attention`.

    python -m bench.attention [--threads N] [--repeats 3] [--shape reader|base]

writes bench/results/attention.json. Both models read the same tokens, the question global, end to end from ids to
vectors, without gradients, one after the other in one process. Times are medians of `repeats`: of the wall clock, and
of the processor's time, which other programs on the machine change less. `ratio` is theirs over ours.

- `compared`: at 4,096 tokens in fp32 and bf16, and theirs in fp32 against ours in the type that it takes on this CPU;
- `linear`: ours at 4,096 and 16,384 tokens, with the memory that each needs above the model's own, each in a process
  of its own.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app.wiring import free_cores
from bench.records import RESULTS, write_result
from model.layers import Shape, fastest_dtype
from model.longformer import Layout, Longformer
from model.network import document_layout
from model.pretrained import Pretrained, longformer_of

SHORT, LONG = 4_096, 16_384
QUESTION = 16  # global tokens, of both lengths
SHAPES: dict[str, dict[str, int]] = {
    # the reader's own shape, and a window of 128 tokens each side
    "reader": {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1_536, "window": 256},
    # allenai/longformer-base-4096's
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3_072, "window": 512},
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def models(shape: str) -> tuple[nn.Module, Pretrained]:
    """Hugging Face's model with random weights, and ours with the same ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, at its import
        from transformers import LongformerConfig, LongformerModel

    sizes = dict(SHAPES[shape])
    window = sizes.pop("window")
    config = LongformerConfig(
        vocab_size=30_522,
        num_attention_heads=12,
        attention_window=[window] * sizes["num_hidden_layers"],
        max_position_embeddings=LONG + 2,
        type_vocab_size=1,
        pad_token_id=1,
        **sizes,
    )
    torch.manual_seed(0)
    theirs = LongformerModel(config, add_pooling_layer=False).eval()
    ours = longformer_of(config.to_dict(), {name: tensor.clone() for name, tensor in theirs.state_dict().items()})
    ours.longformer.eval()
    return theirs, ours


def tokens(length: int, reach: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, Layout]:
    """The same random tokens as theirs ids and global mask [1, L], and as our layout."""
    ids = torch.randint(5, 30_000, (1, length), generator=torch.Generator().manual_seed(0))
    seen = torch.zeros_like(ids)
    seen[:, :QUESTION] = 1
    return ids, seen, document_layout([(ids[0, :QUESTION].tolist(), ids[0, QUESTION:].tolist())], reach=reach)


def timed(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of each run, taken in turns after one round that does not count."""
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for number in range(repeats + 1):
            for name, run in runs.items():
                started = time.perf_counter(), time.process_time()
                run()
                if number:
                    wall[name].append(time.perf_counter() - started[0])
                    cpu[name].append(time.process_time() - started[1])
    return {
        name: {
            "wall_s": round(statistics.median(wall[name]), 3),
            "cpu_s": round(statistics.median(cpu[name]), 3),
            "least_cpu_s": round(min(cpu[name]), 3),
        }
        for name in runs
    }


def compared(shape: str, repeats: int) -> dict[str, Any]:
    """Theirs and ours at 4,096 tokens, in each type, in turns."""
    theirs, ours = models(shape)
    ids, seen, layout = tokens(SHORT, ours.reach)
    found: dict[str, Any] = {}
    for name, dtype in DTYPES.items():
        if dtype is torch.bfloat16 and fastest_dtype() is not dtype:
            continue  # emulated: nobody would run it
        theirs.to(dtype)
        ours.longformer.to(dtype)
        times = timed(
            {"theirs": lambda: theirs(ids, global_attention_mask=seen), "ours": lambda: ours.longformer(layout)},
            repeats,
        )
        found[name] = {**times, "ratio": _ratios(times["theirs"], times["ours"])}
    fastest = next(name for name, dtype in DTYPES.items() if dtype is fastest_dtype())
    found["as_each_runs"] = {
        "theirs": "fp32",
        "ours": fastest,
        "ratio": _ratios(found["fp32"]["theirs"], found[fastest]["ours"]),
    }
    return found


def linear(shape: str, repeats: int, threads: int) -> dict[str, Any]:
    """Ours at both lengths, in the type that it takes on this CPU: times in turns, memory in processes of their own."""
    _, ours = models(shape)
    ours.longformer.to(fastest_dtype())
    layouts = {str(length): tokens(length, ours.reach)[2] for length in (SHORT, LONG)}
    times = timed({name: lambda one=one: ours.longformer(one) for name, one in layouts.items()}, repeats)  # type: ignore[misc]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = [pool.apply(peak_mb, (shape, length, threads)) for length in (SHORT, LONG)]
    short, long = times[str(SHORT)], times[str(LONG)]
    return {
        **times,
        "ratio": _ratios(long, short),
        "memory_mb": {str(SHORT): memory[0], str(LONG): memory[1]},
        "memory_ratio": round(memory[1] / memory[0], 2),
    }


def peak_mb(shape: str, length: int, threads: int) -> float:
    """How much more memory this process has held at most once it has read so many tokens."""
    torch.set_num_threads(threads)
    torch.set_default_dtype(fastest_dtype())  # so that nothing larger was held before, and kept by the allocator
    sizes = SHAPES[shape]
    layers = sizes["num_hidden_layers"]
    ours = Longformer(
        Shape(positions=LONG, width=sizes["hidden_size"], layers=layers, inner=sizes["intermediate_size"]),
        own_global=True,
    ).eval()
    layout = tokens(length, [sizes["window"] // 2] * layers)[2]
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is what is held now
    before = _peak_kb()
    with torch.inference_mode():
        ours(layout)
    return round((_peak_kb() - before) / 1024, 1)


def _peak_kb() -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))


def _ratios(slow: dict[str, float], fast: dict[str, float]) -> dict[str, float]:
    return {name: round(slow[name] / fast[name], 2) for name in slow}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure our Longformer beside Hugging Face's.")
    parser.add_argument("--threads", type=int, default=free_cores())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="reader")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    payload = {
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "shape": {"name": arguments.shape, "heads": 12, **SHAPES[arguments.shape]},
        "tokens": {"short": SHORT, "long": LONG, "global": QUESTION},
        "compared": compared(arguments.shape, arguments.repeats),
        "linear": linear(arguments.shape, arguments.repeats, arguments.threads),
    }
    print(json.dumps(payload, indent=2))
    print(f"written to {write_result('attention', payload).relative_to(RESULTS.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main()
