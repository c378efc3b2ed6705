"""Whatever the files of a pack contain, loading gives a pack or a BadInput that names one of them."""

import pytest
from tests.mutations import mutations
from tests.scale import scaled

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.printable import printable
from selfalign_stages.pack import loading

FRAMES = ("introduction", "examples", "verbose", "verboseName", "selfInstruct", "topics", "questions", "choice")
FILES = {
    "pack.yaml": "name: small\nversion: '1'\nlicense: CC0-1.0\nknowledgeCutoff: May 2025\n",
    "principles.yaml": "- {number: 1, name: helpful, text: Helps.}\n- number: 2\n  name: candid\n  text: >\n    So.\n",
    "exemplars.yaml": "- turns:\n  - &t {user: Hi, thought: Short., rules: [helpful], answer: Hello.}\n- turns: [*t]\n",
    "prompts.yaml": "".join(f"{name}: |\n  Text of {{assistantName}},\n  in lines.\n" for name in FRAMES),
    "identity.yaml": '- questions: ["Who are you?", "Who"]\n  answer: "{assistantName}.\\n"\n',
    "question-types.yaml": "- {type: dated, topic: weather, question: 'Is it raining?'}\n",
    "seed-tasks.jsonl": '{"id": "a", "instruction": "Add.", "input": "\\u00e9"}\n{"id": "b", "instruction": "Sing."}\n',
}
"""A small pack, because the whole is parsed for each variant of a file."""


@pytest.mark.parametrize("name", sorted(loading.PARTS))
def test_any_file_is_part_of_a_pack_or_refused_by_name(name: str) -> None:
    assert loading.parse(FILES, place="here")
    for text in mutations([FILES[name]], scaled(50, 15_000), seed=len(name)):
        try:
            loading.parse(FILES | {name: text}, place="here")
        except BadInput as error:
            message = str(error)
            # Another file may refer to what is missing now, as exemplars do to principles.
            assert any(f"{part}: " in message for part in FILES) and printable(message) == message
