# What a newcomer types. Every target sets up what it needs; `make up` is all it takes to have a cluster.
PY := .venv/bin/python
ARGS ?=

.PHONY: up setup test check bench protos clean
up: setup        ## run a cluster here, in the foreground (ARGS="--secure-port=7443 ...")
	@exec $(PY) -m steersman up $(ARGS)

setup:           ## virtual environment, dependencies, and on Debian as root the container runtime
	@tools/setup run

test:            ## lint, types, unit, API and e2e tests, with one closing summary
	@tools/setup test
	@exec $(PY) tools/test.py $(ARGS)

check:           ## lint and types only
	@tools/setup test
	@exec $(PY) tools/test.py --only lint,format,types $(ARGS)

bench:           ## measure, and print a table
	@tools/setup test
	@exec $(PY) -m bench $(ARGS)

protos: setup    ## regenerate the Python of the .proto files
	@exec $(PY) -m nodeagent.cri.regenerate

clean:           ## remove the virtual environment and caches (a cluster's data stays: steersman reset)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
