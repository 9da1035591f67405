"""Serve until SIGTERM or SIGINT: python -m tests.wandb_server [--host HOST] [--port PORT] …"""

from __future__ import annotations

import argparse

from tests.wandb_server.server import API_KEY, WandbServer


def main() -> None:
    """Print the URL, then serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.wandb_server", description="A double of the W&B API.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to be reached from containers")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--entity", default="acme", help="the entity of the key's owner")
    parser.add_argument("--api-key", action="append", dest="api_keys", metavar="KEY", help="may be repeated")
    parser.add_argument("--lax-client-ids", action="store_true", help="accept a client ID with two digests")
    options = parser.parse_args()
    server = WandbServer.bind(
        options.host, options.port, options.api_keys or [API_KEY], options.entity, not options.lax_client_ids
    )
    print(server.url, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
