# SPDX-License-Identifier: MIT
"""Is a JSON document what its schema says? By python3-jsonschema, of this Python or of the system's."""
import json
import os
import subprocess

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")
CHECK = """
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.validators.validator_for(schema).check_schema(schema)
for document in json.load(sys.stdin):
    jsonschema.validate(document, schema)
"""
said = False


def problem(documents, schema):
    """None, or what is wrong; documents: a list of parsed ones; schema: a file name in docs/."""
    global said
    for python in ("python3", "/usr/bin/python3"):
        done = subprocess.run([python, "-c", CHECK, os.path.join(DOCS, schema)],
                              input=json.dumps(documents), capture_output=True, text=True)
        if "No module named 'jsonschema'" not in done.stderr:
            return done.stderr[-2000:] if done.returncode else None
    if not said:
        print("python3-jsonschema is not installed: schemas are not checked")
    said = True
    return None
