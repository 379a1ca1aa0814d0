"""Client of the task-time service over REST and WebSocket: blocking, asyncio, and a stream."""
