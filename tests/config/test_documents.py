"""The reference, the schema and the example agree with the model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from tests.config.test_compile import ADDRESSES, ERROR_PAGES, KEYS, NEEDS, OPENAPI, ROUTES, TOKEN_FILE, text_with
from tests.config.test_load import REFUSED, complete
from weir.config.compile import compile_plan
from weir.config.findings import TABLES
from weir.config.load import load_file, load_text, schema

ROOT = Path(__file__).resolve().parents[2]


def toml(value: object) -> str:
    """A value as TOML has it: as JSON, except for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


EXAMPLE = ROOT / "examples" / "weir.toml"
VALIDATOR = jsonschema.Draft202012Validator(schema())


def uncommented(text: str) -> str:
    """The example with every key that is commented out."""
    return re.sub(r"^# ([a-z_]+ = )", r"\1", text, flags=re.MULTILINE)


def test_generated_files_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "tools/gen_config_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_schema_file_is_what_is_printed() -> None:
    assert json.loads((ROOT / "docs" / "weir.schema.json").read_text()) == schema()


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("text", [EXAMPLE.read_text(), uncommented(EXAMPLE.read_text())], ids=["as it is", "all keys"])
def test_the_example_is_good(text: str) -> None:
    VALIDATOR.validate(tomllib.loads(text))
    assert [cluster.name for cluster in compile_plan(load_text(text, "f")).clusters] == [
        "app",
        "shop",
        "http://127.0.0.1:3000",
    ]


def test_the_example_shows_defaults_where_it_says_so() -> None:
    assert compile_plan(load_file(EXAMPLE)) == compile_plan(load_text(uncommented(EXAMPLE.read_text()), "f"))


def test_the_example_has_every_key() -> None:
    text = uncommented(EXAMPLE.read_text())
    for table, model in TABLES.items():
        for key in model.model_fields:
            if (*table, key) not in TABLES:
                assert re.search(rf"^{key} = ", text, re.MULTILINE), (table, key)


def test_the_reference_has_every_key_once() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE)
    assert rows == [key for t, model in TABLES.items() for key in model.model_fields if (*t, key) not in TABLES]


def test_examples_of_the_reference_are_good() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    complete_ones = [block for block in blocks if "[[listener]]" in block]
    assert len(complete_ones) == 2
    for block in complete_ones:
        assert compile_plan(load_text(block, "f")).listeners


def test_the_reference_quotes_what_is_said() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    (quoted,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    before = '[[listener]]\naddress = ":8080"\nto = "app"\n\n[[cluster]]\nname = "app"\nendpoints = ["a:1"]\n\n\n\n'
    with pytest.raises(Exception, match="max_idel") as error:
        load_text(before + "[cluster.pool]\nmax_idel = 32\nidle_timeout = 50\n", "weir.toml")
    assert str(error.value) + "\n" == quoted


def test_examples_of_keys_are_good() -> None:
    for table, model in TABLES.items():
        for key, field in model.model_fields.items():
            if (*table, key) in TABLES or (*table, key) in (*ADDRESSES, ERROR_PAGES, TOKEN_FILE, *OPENAPI, *ROUTES):
                continue
            assert field.examples, key
            (example,) = field.examples
            text = text_with(table, f"{key} = {toml(example)}", NEEDS.get(key, ("", ""))[1])
            if key == "zone":
                text = text.replace("priority = 1", f"zone = {toml(example)}")
            if key == "unix_mode":
                text = text.replace(":8080", "unix:/run/weir.sock")
            if key == "group":
                text = f'user = "nobody"\n{text}'
            assert load_text(text, "f").listener
            VALIDATOR.validate(tomllib.loads(text))


@pytest.mark.parametrize(("table", "key", "toml"), [k[:3] for k in KEYS], ids=[".".join((*k[0], k[1])) for k in KEYS])
def test_the_schema_accepts_what_the_model_accepts(table: tuple[str, ...], key: str, toml: str) -> None:
    VALIDATOR.validate(tomllib.loads(text_with(table, f"{key} = {toml}", NEEDS.get(key, ("", ""))[1])))


def test_the_schema_finds_unknown_keys_and_wrong_types() -> None:
    """Editors cannot know everything (bounds of durations, names of clusters), but the usual slips they mark."""
    found = {said for table, line, said in REFUSED if not VALIDATOR.is_valid(tomllib.loads(complete(table, line)))}
    for _, _, said in REFUSED:
        if "unknown key" in said or "needs its unit" in said or "wanted" in said or "is not a size" in said:
            assert said in found, said
    assert len(found) >= 40


def test_every_key_is_described() -> None:
    made = schema()
    for table in [made, *made["$defs"].values()]:
        assert table["additionalProperties"] is False
        for key, entry in table["properties"].items():
            below = made["$defs"].get(entry.get("$ref", "").removeprefix("#/$defs/"), {})
            assert entry.get("description") or below.get("description"), key
            assert "title" not in entry, key


def test_defaults_in_the_schema_are_good_values() -> None:
    made = schema()
    for table in [made, *made["$defs"].values()]:
        for key, entry in table["properties"].items():
            if "default" in entry and "$ref" not in entry:
                resolved = {**entry, "$defs": made["$defs"]}
                assert jsonschema.Draft202012Validator(resolved).is_valid(entry["default"]), key
