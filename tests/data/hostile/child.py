"""Reads every file of a folder by itself in a process of bounded memory; prints a line of JSON for each.

python child.py FOLDER GIBIBYTES
"""

import json
import resource
import sys
import time

from trivium.data.documents import Document
from trivium.data.readers import PassedOver, ReadOptions, list_parts, read_part
from trivium.runtime.memory import forget_peak, peak_mib


def main(folder: str, gibibytes: float) -> None:
    limit = int(gibibytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    options = ReadOptions()
    for part in list_parts(folder, options):
        name = part.name
        forget_peak()
        before, started = peak_mib(), time.process_time()
        documents, findings = [], []
        for found in [part] if isinstance(part, PassedOver) else read_part(part, options):
            if isinstance(found, Document):
                documents.append([found.id, len(found.text), found.text[:40]])
            else:
                findings.append([found.name, found.reason, found.detail])
        result = {
            "name": name,
            "documents": documents,
            "findings": findings,
            "seconds": time.process_time() - started,
            "mebibytes": peak_mib() - before,
        }
        print(json.dumps(result), flush=True)


main(sys.argv[1], float(sys.argv[2]))
