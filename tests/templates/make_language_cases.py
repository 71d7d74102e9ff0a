#!/usr/bin/env python3
"""Writes language_cases.json: what transformers' Jinja environment makes of every snippet of language.py.

usage: python3 tests/templates/make_language_cases.py     (needs transformers and jinja2)
"""
import json
import pathlib
from datetime import datetime

import jinja2
from transformers.utils import chat_template_utils

import language

PATH = pathlib.Path(__file__).with_name("language_cases.json")
NOW = datetime(2026, 7, 4, 8, 5, 9)
NOW_SECONDS = 1783152309


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def outcome(snippet):
    """{"text": ...} or {"error": its type}."""
    try:
        data = {key: value for key, value in language.DATA.items() if key != "messages"}
        text = chat_template_utils.render_jinja_template(
            conversations=[language.DATA["messages"]], chat_template=snippet, **data)[0][0]
        text.encode("utf-8")
        return {"text": text}
    except Exception as error:  # whatever Jinja or Python raises
        return {"error": type(error).__name__}


def document():
    before = chat_template_utils.datetime
    chat_template_utils.datetime = Clock
    try:
        cases = [{"group": group, "template": snippet, **outcome(snippet)}
                 for group, snippets in language.SNIPPETS.items() for snippet in snippets]
    finally:
        chat_template_utils.datetime = before
    return {"made_by": f"make_language_cases.py with jinja2 {jinja2.__version__}", "now": NOW_SECONDS,
            "data": language.DATA, "cases": cases}


if __name__ == "__main__":
    PATH.write_text(json.dumps(document(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{PATH.name}: {len(document()['cases'])} cases")
