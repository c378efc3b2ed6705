"""Parameters of the generating steps, from the settings of their stages. Pure.

What a function here returns is part of the step's key. The API and the contract have types of their own, so that a
field which only says where a step runs (workers, resources, template) cannot reach a key by accident.
"""

import math

from selfalign_operator.api.engine import EngineSettings
from selfalign_operator.api.stages import Generation, RedTeaming
from selfalign_stages.contract import rules
from selfalign_stages.contract.parameters import (
    EngineArguments,
    EngineParameters,
    InstructionsParameters,
    PromptsParameters,
    QuestionsParameters,
    Sampling,
    TopicsParameters,
)


def topics(settings: RedTeaming, engine: EngineSettings) -> TopicsParameters:
    """Parameters of step topics (paper section 3.1)."""
    return TopicsParameters(
        topics_per_type=settings.topics_per_type,
        rounds=settings.rounds,
        sampling=sampling_parameters(settings.sampling.topics),
        deterministic=settings.deterministic,
        engine=engine_parameters(engine),
    )


def questions(settings: RedTeaming, engine: EngineSettings) -> QuestionsParameters:
    """Parameters of step questions: topic-guided red-teaming (paper section 3.1)."""
    return QuestionsParameters(
        questions_per_topic=-(-settings.questions_per_topic * generated_prompts(settings) // settings.prompts),
        sampling=sampling_parameters(settings.sampling.questions),
        deterministic=settings.deterministic,
        engine=engine_parameters(engine),
    )


def instructions(settings: RedTeaming, engine: EngineSettings) -> InstructionsParameters:
    """Parameters of step instructions: general self-instruct, for the rest of the prompts (paper section 3.1)."""
    # The schema keeps topicGuidedShare below 1, but rounding may still leave nothing: self-instruct needs one task.
    general_share = 1 - settings.topic_guided_share
    return InstructionsParameters(
        instructions=max(1, math.ceil(generated_prompts(settings) * general_share)),
        rounds=settings.rounds,
        dedup_rouge_l=settings.dedup_rouge_l,
        sampling=sampling_parameters(settings.sampling.instructions),
        deterministic=settings.deterministic,
        engine=engine_parameters(engine),
    )


def prompts(settings: RedTeaming) -> PromptsParameters:
    """Parameters of step prompts, which merges both branches and prompts of one's own."""
    return PromptsParameters(
        prompts=settings.prompts,
        dedup_rouge_l=settings.dedup_rouge_l,
        decontaminate=settings.decontaminate,
        own_prompts=own_prompts(settings) or None,
    )


def own_prompts(settings: RedTeaming) -> tuple[int, ...]:
    """Returns the most prompts of each file of one's own, by their shares."""
    # Rounded first, because 0.29 x 100 is a little less than 29 in binary.
    return tuple(math.floor(round(source.share * settings.prompts, 6)) for source in settings.prompt_sources)


def generated_prompts(settings: RedTeaming) -> int:
    """Returns the number of prompts that the shares of one's own leave to generation; 0: it is not needed."""
    # By the shares, because whole numbers of three thirds of 100 prompts leave one that nobody asked to generate.
    shares = sum(source.share for source in settings.prompt_sources)
    return 0 if shares > 2 - rules.SHARES_LIMIT else settings.prompts - sum(own_prompts(settings))


def sampling_parameters(sampling: Sampling) -> Sampling:
    """Copies one of the API's subclasses, which differ in defaults alone, into the contract's type."""
    return Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_tokens=sampling.max_tokens,
    )


def engine_parameters(settings: EngineSettings) -> EngineParameters:
    """The settings of the engine that change its output."""
    return EngineParameters(
        context_length=settings.context_length,
        dtype=settings.dtype,
        quantization=settings.quantization,
        kv_cache_dtype=settings.kv_cache_dtype,
    )


def engine_arguments(settings: EngineSettings) -> EngineArguments:
    """The settings of the engine that no key depends on."""
    return EngineArguments(
        gpu_memory_utilization=settings.gpu_memory_utilization,
        max_sequences=settings.max_sequences,
        **settings.arguments.model_dump(),
    )


def generation(generation: Generation, assistant_name: str, engine: EngineSettings) -> dict[str, object]:
    """Parameters that both kinds of answers have in common."""
    return {
        "engine": engine_parameters(engine),
        "assistant_name": assistant_name,
        "sampling": Sampling(
            temperature=generation.temperature,
            top_p=generation.top_p,
            top_k=generation.top_k,
            min_p=generation.min_p,
            max_tokens=generation.max_tokens,
        ),
        "chunk_size": generation.chunk_size,
        "deterministic": generation.deterministic,
        "max_reject_ratio": generation.max_reject_ratio,
    }
