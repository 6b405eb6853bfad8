"""The built-in Pulumi provider for Kubernetes, for networks where the official plugin cannot be had.

It answers the engine's `ResourceProvider` protocol (pulumi/proto/provider.proto) for the types of the SDK
`pulumi-kubernetes` 4.32, by server-side apply. `install.py` puts it where the engine looks for plugins. Its states and
those of the official plugin are not interchangeable, so a stack records which of the two it uses.
"""

PLUGIN_NAME = "kubernetes"
PLUGIN_VERSION = "4.32.0"  # of the SDK whose types it answers for: the engine looks plugins up by the SDK's version
