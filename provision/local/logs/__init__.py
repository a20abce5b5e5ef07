"""A local Cloud Logging: `LoggingServiceV2` over gRPC on 127.0.0.1, for the official clients.

Write, list, tail, list logs and delete a log; nothing else. What it does not know is refused by name. It was written from
the published documentation and the client library; it has not been compared with the real service.
"""
