"""What vLLM is started with, by hardware. Pure functions: no engine is loaded."""

from pathlib import Path

import pytest

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import DEFAULT_CONTEXT, EngineArguments, EngineParameters, Sampling
from selfalign_stages.engine.cpu_limits import core_flags
from selfalign_stages.engine.interface import Decoding
from selfalign_stages.engine.vllm_arguments import CPU_BATCH_TOKENS, dtype_on, engine_arguments, environment


def test_the_gpus_of_a_pod_share_one_copy_of_the_model() -> None:
    arguments = engine_arguments(cpu=False, context_length=2048, devices=8)
    assert (arguments["tensor_parallel_size"], arguments["pipeline_parallel_size"]) == (8, 1)
    assert arguments["gpu_memory_utilization"] == 0.9


def test_what_the_run_leaves_open_is_vllm_s_own_choice() -> None:
    arguments = engine_arguments(cpu=False, context_length=2048, devices=1)
    assert not arguments.keys() & {"max_num_seqs", "max_num_batched_tokens", "block_size", "kv_cache_memory_bytes"}


def test_groups_of_gpus_have_a_part_of_the_layers_each() -> None:
    device = EngineArguments(pipeline_parallel=2)
    arguments = engine_arguments(cpu=False, context_length=2048, devices=6, device=device)
    assert (arguments["tensor_parallel_size"], arguments["pipeline_parallel_size"]) == (3, 2)


def test_groups_that_do_not_divide_the_gpus_are_refused_with_both_numbers() -> None:
    device = EngineArguments(pipeline_parallel=4)
    with pytest.raises(BadInput, match=r"^spec.engine.arguments.pipelineParallel = 4: .* 6 GPUs; choose a divisor"):
        engine_arguments(cpu=False, context_length=2048, devices=6, device=device)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (EngineArguments(kv_cache_gib=3), {"kv_cache_memory_bytes": 3 << 30}),
        (EngineArguments(block_size=64), {"block_size": 64}),
        (EngineArguments(max_batched_tokens=9000), {"max_num_batched_tokens": 9000}),
    ],
)
@pytest.mark.parametrize("cpu", [True, False])
def test_memory_and_batches_are_the_user_s_on_both_kinds_of_device(
    device: EngineArguments, expected: dict[str, int], cpu: bool
) -> None:
    arguments = engine_arguments(cpu=cpu, context_length=2048, devices=0 if cpu else 1, device=device)
    assert arguments | expected == arguments


def test_weights_in_main_memory_and_eager_steps_are_for_gpus() -> None:
    device = EngineArguments(cpu_offload_gib=8, enforce_eager=True)
    on_gpu = engine_arguments(cpu=False, context_length=2048, devices=1, device=device)
    assert (on_gpu["cpu_offload_gb"], on_gpu["enforce_eager"]) == (8, True)
    assert "cpu_offload_gb" not in engine_arguments(cpu=True, context_length=2048, devices=0, device=device)


@pytest.mark.parametrize("cpu", [True, False])
def test_vllm_knows_every_argument(cpu: bool) -> None:
    from vllm.engine.arg_utils import EngineArgs

    device = EngineArguments(max_sequences=1, kv_cache_gib=1, max_batched_tokens=9, block_size=32)
    arguments = engine_arguments(cpu=cpu, context_length=2048, devices=1, device=device)
    assert arguments.keys() <= EngineArgs.__dataclass_fields__.keys()


def test_the_share_of_the_device_and_the_bound_of_the_batch_are_the_user_s() -> None:
    device = EngineArguments(gpu_memory_utilization=0.5, max_sequences=4)
    on_gpu = engine_arguments(cpu=False, context_length=2048, devices=1, device=device)
    assert (on_gpu["gpu_memory_utilization"], on_gpu["max_num_seqs"]) == (0.5, 4)
    on_cpu = engine_arguments(cpu=True, context_length=2048, devices=0, device=device)
    assert on_cpu["max_num_seqs"] == 4 and "gpu_memory_utilization" not in on_cpu


@pytest.mark.parametrize(
    ("chosen", "of_model", "used"),
    [
        (None, 131_072, DEFAULT_CONTEXT),
        (None, 2048, 2048),
        (16_384, 131_072, 16_384),
        (512, 2048, 512),
        (None, None, None),
    ],
)
def test_the_context_window_is_chosen_or_the_model_s_up_to_a_bound(
    chosen: int | None, of_model: int | None, used: int | None
) -> None:
    assert EngineParameters(context_length=chosen).context(of_model) == used


def test_on_cpu_a_whole_prompt_fits_one_scheduler_step() -> None:
    # Chunked prefill is off, so a prompt that exceeds the limit of a step could never be scheduled.
    few = EngineArguments(max_batched_tokens=512)
    for context_length, device, expected in (
        (None, EngineArguments(), CPU_BATCH_TOKENS),
        (1024, EngineArguments(), CPU_BATCH_TOKENS),
        (32768, EngineArguments(), 32768),
        (1024, few, 1024),
        (256, few, 512),
    ):
        arguments = engine_arguments(cpu=True, context_length=context_length, devices=0, device=device)
        assert arguments["max_num_batched_tokens"] == expected
        assert arguments["enable_chunked_prefill"] is False


def test_on_cpu_one_process_is_enough() -> None:
    assert environment(cpu=True)["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in environment(cpu=False)


def test_a_gpu_without_the_flashinfer_package_is_not_asked_to_import_it() -> None:
    assert environment(cpu=False, flashinfer=False)["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert "VLLM_USE_FLASHINFER_SAMPLER" not in environment(cpu=False, flashinfer=True)
    assert "VLLM_USE_FLASHINFER_SAMPLER" not in environment(cpu=True, flashinfer=False)


def test_no_usage_statistics_are_sent() -> None:
    assert {environment(cpu=cpu)["VLLM_NO_USAGE_STATS"] for cpu in (True, False)} == {"1"}


def test_decoding_takes_the_sampling_of_a_step_and_the_stops_of_its_prompt() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, max_tokens=64)
    expected = Decoding(temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, max_tokens=64, stop=("\n",))
    assert Decoding.from_sampling(sampling, stop=("\n",)) == expected
    assert Decoding.from_sampling(sampling, ignore_eos=True).ignore_eos


@pytest.mark.parametrize(
    ("flags", "dtype"), [("avx512_bf16", "auto"), ("amx_bf16", "auto"), ("avx512f avx512_vnni", "float32")]
)
def test_cores_without_bfloat16_instructions_compute_in_float32(flags: str, dtype: str, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name : x\nflags : fpu {flags}\nflags : fpu {flags}\n")
    cores = core_flags(tmp_path / "cpuinfo")
    assert dtype_on(EngineParameters(), flags=cores) == dtype
    assert dtype_on(EngineParameters(dtype="bfloat16"), flags=cores) == "bfloat16"
    assert dtype_on(EngineParameters(), flags=None) == "auto"
    assert dtype_on(EngineParameters(quantization="fp8_per_tensor"), flags=cores) == "auto", "vLLM takes 16 bits only"


def test_arm_cores_name_their_instructions_as_features(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nFeatures : fp asimd bf16\n")
    assert core_flags(tmp_path / "cpuinfo") == {"fp", "asimd", "bf16"}
