"""The scheduler: decides on which node each pod runs. Speaks the HTTP API only; replaceable by kube-scheduler."""
