"""Reads every file of a folder by itself in a process of bounded memory; prints a line of JSON for each.

python child.py FOLDER GIBIBYTES SECONDS

A file that takes more seconds of computation has no line: the system ends the process.
"""

import json
import math
import resource
import sys
import time

from trivium.data.documents import Document
from trivium.data.readers import PassedOver, ReadOptions, list_parts, read_part
from trivium.runtime.memory import forget_peak, peak_mib


def main(folder: str, gibibytes: float, seconds: int) -> None:
    limit = int(gibibytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    options = ReadOptions()
    for part in list_parts(folder, options):
        name = part.name
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, resource.RLIM_INFINITY))
        forget_peak()
        before = peak_mib()
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
            "mebibytes": peak_mib() - before,
        }
        print(json.dumps(result), flush=True)


main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
