"""Ring 3: HTTP, by aiohttp."""
