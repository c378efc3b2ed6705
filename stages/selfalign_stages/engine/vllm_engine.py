"""vLLM behind the engine interface: the CPU build on CPU and the CUDA build on GPU, whichever is installed.

The engine is driven through `LLMEngine.add_request` and `step`, not through `LLM.generate`: `generate` returns when
the slowest prompt of its list has ended, while steps need completions as they end, to commit chunks early and to
keep the batch full. vLLM is imported inside the constructor, because it reads environment variables at import.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from selfalign_stages.contract.exits import DoesNotFit
from selfalign_stages.contract.parameters import EngineArguments, EngineParameters
from selfalign_stages.engine import cpu_limits, gpu_sampling, loading_errors, vllm_arguments
from selfalign_stages.engine.interface import Completion, Decoding, FinishReason, Request, Scored

LOG = logging.getLogger("selfalign")
IN_FLIGHT_FACTOR = 4
"""Requests submitted per sequence slot of the scheduler. Above 1, so that a freed slot never waits for Python; small,
so that few prompts wait in memory."""


def register_in_process(registry: Any, architectures: Iterable[str]) -> None:
    """Registers the classes of a model's architectures with vLLM without its inspection subprocess.

    vLLM inspects model classes in a subprocess, to keep CUDA uninitialised in this one. The subprocess imports all
    of vLLM once more, and a pod, whose cache is empty at start, pays for it every time; on CPU there is no CUDA to
    protect.

    Args:
        registry: `vllm.ModelRegistry`.
        architectures: from the model's config.json; names that vLLM does not support are ignored here and refused
            by vLLM when the model is loaded.
    """
    for name in set(architectures) & set(registry.models):
        with suppress(ImportError):  # vLLM itself reports a class whose dependencies are missing
            registry.register_model(name, registry.models[name].load_model_cls())


class VllmEngine:
    """A model folder loaded into vLLM.

    Args:
        model: folder with config.json, safetensors weights and tokenizer.
        seed: seed of the engine; requests carry seeds of their own.
        settings: context window and number formats.
        device: what decides about memory and speed alone.
        check_stop: called between two tokens of a stream, and may raise. On CPU the first completion takes minutes.

    Raises:
        BadInput: vLLM does not support the model, its quantisation on this device, or the number of devices.
        DoesNotFit: the device has too little memory for weights and KV cache.
    """

    def __init__(
        self,
        model: Path,
        *,
        seed: int,
        settings: EngineParameters = vllm_arguments.DEFAULT_SETTINGS,
        device: EngineArguments = vllm_arguments.DEFAULT_DEVICE,
        check_stop: Callable[[], None] = lambda: None,
    ) -> None:
        cpu = vllm_arguments.is_cpu_build()
        flags = cpu_limits.core_flags() if cpu else None
        if flags is not None:
            loading_errors.refuse_on_cpu(settings, flags=flags)
        variables = vllm_arguments.environment(cpu=cpu, flashinfer=gpu_sampling.is_installed("flashinfer"))
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        import vllm

        for logger in ("vllm", "transformers"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        self._vllm, self._check_stop = vllm, check_stop
        self._nucleus: Any = None
        if cpu:
            from selfalign_stages.engine import nucleus

            self._nucleus = nucleus
        config = json.loads((model / "config.json").read_text())
        context_length = settings.context(config.get("max_position_embeddings"))
        if cpu:
            register_in_process(vllm.ModelRegistry, config.get("architectures") or [])
        devices = 0 if cpu else vllm.platforms.current_platform.device_count()
        arguments = vllm_arguments.engine_arguments(
            cpu=cpu, context_length=context_length, devices=devices, device=device
        )
        try:
            self._llm = vllm.LLM(
                str(model),
                seed=seed,
                max_model_len=context_length,
                # All prompts of a step share a long prefix (principles and exemplars): it is computed once.
                enable_prefix_caching=True,
                disable_log_stats=True,
                load_format="safetensors",
                dtype=vllm_arguments.dtype_on(settings, flags=flags),
                quantization=settings.quantization,
                kv_cache_dtype=settings.kv_cache_dtype or "auto",
                logits_processors=[self._nucleus.Nucleus] if self._nucleus else None,
                **arguments,
            )
        except (ValueError, RuntimeError) as error:
            if known := loading_errors.stage_error(error, model=model.name, settings=settings):
                raise known from error
            raise
        self._tokenizer = self._llm.get_tokenizer()
        loaded = self._llm.llm_engine.vllm_config
        self._max_length = int(loaded.model_config.max_model_len)
        self._in_flight = IN_FLIGHT_FACTOR * int(loaded.scheduler_config.max_num_seqs)
        self._requests_added = 0  # request ids must be unique over the engine's lifetime
        # On a GPU until its sampling was looked at once.
        self._device_facts = gpu_sampling.device_facts(vllm.platforms.current_platform)

    def stream(
        self, requests: Iterable[Request], decoding: Decoding, *, fresh: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        """See Engine."""
        engine = self._llm.llm_engine
        self._warn_of_slow_sampling(decoding)
        if fresh:
            self._llm.reset_prefix_cache()
        running: dict[str, int] = {}  # position in `requests` by request id
        numbered = enumerate(requests)
        try:
            while True:
                while len(running) < self._in_flight and (following := next(numbered, None)) is not None:
                    position, request = following
                    ids = self._tokenizer(request.prompt)["input_ids"]
                    # Shortening the prompt would remove its end, which is the cue to answer: the record is rejected.
                    if len(ids) + decoding.max_tokens > self._max_length:
                        yield position, Completion(text="", finish_reason="abort", tokens=0)
                        continue
                    self._requests_added += 1
                    running[str(self._requests_added)] = position
                    prompt = {"prompt_token_ids": ids}
                    parameters = self._sampling_parameters(decoding, request.seed)
                    engine.add_request(str(self._requests_added), prompt, parameters)
                if not running:
                    return
                self._check_stop()
                for output in engine.step():
                    if output.finished:
                        yield running.pop(output.request_id), _completion(output)
        finally:
            # The consumer stopped early (SIGTERM): without this, the next stream would receive the leftovers.
            if running:
                engine.abort_request(list(running))

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """See Engine. vLLM does not serve prompt log-probabilities from its prefix cache, so prompts are recomputed."""
        # max_tokens 1 is the least that vLLM accepts; the generated token is discarded. prompt_logprobs 0 returns
        # the log-probability of each prompt token itself and of no alternatives.
        parameters = self._vllm.SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
        tokenised = [self._tokenise_pair(prompt, continuation) for prompt, continuation in pairs]
        prompts = [{"prompt_token_ids": ids} for ids, _ in tokenised]
        outputs = self._llm.generate(prompts, parameters, use_tqdm=False)
        return [
            _sum(output.prompt_logprobs, ids, start) for output, (ids, start) in zip(outputs, tokenised, strict=True)
        ]

    def _tokenise_pair(self, prompt: str, continuation: str) -> tuple[list[int], int]:
        """Returns the token ids of the joined text and the position of the first token of the continuation.

        The text is tokenised once: BPE may merge characters across the border, and separately tokenised parts would
        score a text that the model never produces.
        """
        encoded = self._tokenizer(prompt + continuation, return_offsets_mapping=True, add_special_tokens=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        if len(ids) >= self._max_length:
            raise DoesNotFit(
                f"evaluation: a text of {len(ids)} tokens does not fit the model's context of {self._max_length}; "
                "shorten the suite's items or the pack's prefix"
            )
        start = next(i for i, (_, end) in enumerate(offsets) if end > len(prompt))
        return ids, max(start, 1)  # the first token of a text has no log-probability

    def _warn_of_slow_sampling(self, decoding: Decoding) -> None:
        """Writes one line to the step's log, at the first stream that it concerns."""
        if self._device_facts and (reason := gpu_sampling.lost_sampler(decoding, self._device_facts)):
            LOG.warning("%s", reason)
            self._device_facts = None

    def _structured(self, grammar: str | None) -> Any:
        return self._vllm.sampling_params.StructuredOutputsParams(grammar=grammar) if grammar else None

    def _sampling_parameters(self, decoding: Decoding, seed: int) -> Any:
        chosen = {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": decoding.top_k}
        if self._nucleus:
            chosen = self._nucleus.sampling_arguments(**chosen)
        return self._vllm.SamplingParams(
            **chosen,
            min_p=decoding.min_p,
            max_tokens=decoding.max_tokens,
            stop=list(decoding.stop) or None,
            ignore_eos=decoding.ignore_eos,
            structured_outputs=self._structured(decoding.grammar),
            seed=seed,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )


def _completion(output: Any) -> Completion:
    """Converts a finished vLLM RequestOutput; `stop_reason` is None for EOS and the string for a stop string.

    Whatever else vLLM ends a request with (error, abort, repetition) is no end that the model chose: a text that was
    trained on after it would end anywhere.
    """
    first = output.outputs[0]
    reason: FinishReason = first.finish_reason if first.finish_reason in ("stop", "length") else "abort"
    return Completion(
        text=first.text,
        finish_reason=reason,
        tokens=len(first.token_ids),
        ended_by_eos=reason == "stop" and first.stop_reason is None,
    )


def _sum(logprobs: Sequence[Any], ids: Sequence[int], start: int) -> Scored:
    """Sums log-probabilities over positions `start` to the end.

    Args:
        logprobs: for each position, a mapping of token id to vLLM's Logprob, None at position 0; length T.
        ids: token ids of the whole text; length T.
        start: position of the continuation's first token.
    """
    total = sum(logprobs[i][ids[i]].logprob for i in range(start, len(ids)))
    return Scored(logprob=float(total), tokens=len(ids) - start)
