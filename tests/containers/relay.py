"""In a worker's container: loopback ports 8101 and 8102 lead to the service `vendors`, which outlives it.

The pipeline speaks plain HTTP to loopback only.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from functools import partial

PORTS = (8101, 8102)


async def copy(reader: StreamReader, writer: StreamWriter) -> None:
    """Pass on what comes until the end."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def serve(port: int, reader: StreamReader, writer: StreamWriter) -> None:
    """Connect one caller with the vendor."""
    try:
        to_reader, to_writer = await asyncio.open_connection("vendors", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer), return_exceptions=True)


async def main() -> None:
    """Serve both ports until the container ends."""
    servers = [await asyncio.start_server(partial(serve, port), "127.0.0.1", port) for port in PORTS]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
