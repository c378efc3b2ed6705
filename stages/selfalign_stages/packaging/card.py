"""Renders the model card (README.md of the model) from the run: origin, method, scores, principles and licences.

The YAML front matter is the Hub's model card metadata. The card is part of the image, so every change of TEMPLATE
changes the digest of images for equal inputs: raise the version of step kind `image` (contract.graph, KINDS) with it.
"""

from collections.abc import Mapping
from typing import Any

import jinja2

from selfalign_stages.contract.rules import HUB_PREFIX

TEMPLATE = """\
---
license: {{ license }}
{% if hub_id %}base_model: {{ hub_id }}
{% endif %}pipeline_tag: text-generation
tags: [self-align, selfalign]
---
# {{ name }}

{{ name }} was aligned from the base model `{{ base.uri }}`{% if base.revision %} at `{{ base.revision }}`{% endif %} by
SELF-ALIGN (arXiv 2305.03047): {% if variant == "cloned" -%}
its training answers were written at length by the engraved model, which was trained on answers that the base model
itself wrote under
{%- else -%}
its training answers were written by that base model itself under
{%- endif %} the {{ pack.principles | length }} principles and {{ pack.exemplars | length }} exemplars of the pack
`{{ pack.header.name }} {{ pack.header.version }}`. This is the {{ variant }} model.
{% if extra_rows %}
Not all training rows are such answers: up to {{ "%.3g" | format(100 * extra_rows) }} % of those of a training came from
files that the run names (`extraRows`).
{% endif %}
## Use

The weights lie under `/models` of the image. With vLLM: `vllm serve /models`, then ask its chat endpoint. The chat
template is saved with the tokenizer; answers end with the tokenizer's end token. Clients that choose no decoding get
the one that was evaluated:
{% if sampling.temperature == 0 %}greedy{% else -%}
temperature {{ sampling.temperature }}, top-p {{ sampling.top_p }}
{%- if sampling.top_k %}, top-k {{ sampling.top_k }}{% endif %}
{%- if sampling.min_p %}, min-p {{ sampling.min_p }}{% endif %}{% endif %}.
{% if thoughts %}
The model writes a thought before every answer, which may be empty: `<think>`, thought, `</think>`, blank line, answer.
Clients show what follows the first `</think>`; without one the answer is missing, because the thought did not end. The
chat template leaves the thoughts of earlier answers out. The tags are plain text, for which no tokens were added:
`vllm serve /models --reasoning-parser qwen3` of vLLM 0.32 returns the thought apart from the answer; parsers that look
the tags up in the vocabulary, such as `deepseek_r1`, refuse to start unless the base model has them there. With a
parser, and without such tokens, vLLM does not see where a thought ends, and applies no JSON schema or grammar.
{% endif %}
## Evaluation

{{ report }}
## Principles

{% for p in pack.principles -%}
{{ p.number }}. **{{ p.name }}**: {{ pack.fill(p.text, assistant_name=name) }}
{% endfor %}
{% if documents %}## Terms of the base model

They apply to this model too:
{% for name in documents %}[{{ name }}]({{ name }}){{ ", " if not loop.last }}{% endfor %}.

{% endif %}## Provenance

| what | digest or key |
| --- | --- |
| base model | {{ base.digest }} (licence: {{ base.license or "not stated" }}) |
| principle pack | {{ pack.digest }} (licence: {{ pack.header.license }}) |
| model artifact | {{ model_key }} |
| evaluation artifact | {{ gate_key }} |
| seed | {{ seed }} |
"""


def render(values: Mapping[str, Any]) -> str:
    """Renders the card as Markdown.

    Args:
        values: `name`, `variant` and `license` of the model; `pack`, the principle pack; `base`, the base model's
            source.json; `report`, the evaluation report in Markdown; `sampling`, the decoding of the evaluation;
            `extra_rows`, largest fraction of training rows from other files, or None; `thoughts`, whether the model
            was trained on thoughts; `documents`, names of licence files in the model's folder; `model_key`,
            `gate_key`, `seed` for provenance.

    Raises:
        jinja2.UndefinedError: a value is missing. An empty field in a published card would go unnoticed.
    """
    # Markdown is no HTML: escaping would show "&amp;" in principles.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    # The Hub links `base_model` to a repository of its own; any other address is no id there.
    uri = str(values["base"]["uri"])
    hub_id = uri.removeprefix(HUB_PREFIX) if uri.startswith(HUB_PREFIX) else None
    return environment.from_string(TEMPLATE).render(values, hub_id=hub_id)
