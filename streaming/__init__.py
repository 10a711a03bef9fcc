"""Long-lived byte streams: SPDY framing, upgrades, tunnels, and the translation between WebSocket channels and SPDY.

Shared by the API server and the node agent; knows nothing of pods, authentication or authorisation.
"""
