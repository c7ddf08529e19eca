"""Evaluation sets: where the real ones are, for the tests that read them, and a small one that is made."""

import json
import shutil

# Of real files: how many items, of which groups, and the beginning of the hash of their ids in order.
REAL = {
    "mmlu": ("general-nlp/open/eval/mmlu_test.jsonl.gz", 14042, "77872ae793fd"),
    "fpb": ("finance/research-only/eval/financial_phrasebank_Sentences_50Agree.txt", 1212, "71567e616680"),
    "fiqa": ("finance/research-only/eval/fiqa_task1_*.json", 294, "8bd9ddcaf72b"),
    "tfns": ("finance/open/eval/tfns_sent_valid.csv", 2388, "f38ac3561bbd"),
    "pubmedqa": ("medical/open/eval/pubmedqa_*", 500, "c9728b57eee8"),
    "medmcqa": ("medical/open/eval/medmcqa_dev.jsonl.gz", 4183, "2526d854e044"),
    "medqa": ("medical/open/eval/medqa_us_4options_test.jsonl.gz", 1273, "d17af222e1a0"),
    "careqa": ("medical/open/eval/careqa_test.json.gz", 5621, "4a22fb2d8963"),
}

PROGRAMS = {
    "humaneval": "code/open/eval/HumanEval.jsonl.gz",
    "mbpp": "code/open/eval/mbpp.jsonl",
    "multipl-e-js": "code/open/eval/multipl-e_humaneval-js.jsonl",
    "multipl-e-cpp": "code/open/eval/multipl-e_humaneval-cpp.jsonl",
}


def real_file(real_data, pattern, folder):
    """Return a real file, or a folder with those that a pattern names."""
    if "*" not in pattern:
        return real_data / pattern
    for one in real_data.glob(pattern):
        shutil.copy(one, folder)
    return folder


def questions(file, count):
    """Write a file of so many items of MedMCQA, and return it."""
    options = {"opa": "up", "opb": "down", "opc": "left", "opd": "right"}
    rows = [{"id": f"q{n}", "question": f"Where to in case {n}?", "cop": n % 4, **options} for n in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
