"""Spans of OTLP batches, one file each, as JSON: read with the reference definitions, and nothing else is in them."""

import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def value(of):
    kind = of.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in of.array_value.values]
    return getattr(of, kind) if kind else None


def attributes(of):
    names = [pair.key for pair in of]
    assert len(names) == len(set(names)), f"one name twice: {names}"
    return {pair.key: value(pair.value) for pair in of}


def known(message):
    assert len(UnknownFieldSet(message)) == 0, f"unknown fields in {message}"


def spans(path):
    request = ExportTraceServiceRequest()
    with open(path, "rb") as file:
        request.ParseFromString(file.read())
    known(request)
    for of_resource in request.resource_spans:
        known(of_resource)
        for of_scope in of_resource.scope_spans:
            known(of_scope)
            for span in of_scope.spans:
                known(span)
                yield {
                    "resource": attributes(of_resource.resource.attributes),
                    "scope": of_scope.scope.name,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_id": span.parent_span_id.hex(),
                    "trace_state": span.trace_state,
                    "flags": span.flags,
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "events": [{"name": e.name, "time": e.time_unix_nano, "attributes": attributes(e.attributes)} for e in span.events],
                    "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links],
                    "status": span.status.code,
                }


print(json.dumps([span for path in sys.argv[1:] for span in spans(path)]))
