"""The rendered manifests, and the pods and services that a cluster makes of them."""
