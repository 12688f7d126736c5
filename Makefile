# Winnow: everything runs with Python 3.11 and make. `make help` prints the targets.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# ONNX Runtime's wheels send usage data to their maker unless told not to.
export ORT_DISABLE_TELEMETRY := 1

PYTHON ?= $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
# Compiled once here rather than at every start of every process, wherever Python is told to write no bytecode.
UV := .venv/bin/uv pip install --compile-bytecode
UV_VERSION := 0.13.9
CHECKOV_VERSION := 3.3.30
KUSTOMIZE_VERSION := v5.5.0
HELM_VERSION := v3.16.4
KSERVE_VERSION := v0.20.0

.PHONY: help
help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.installed .venv-triton/.installed  ## make both virtual environments (a second run does nothing)

.PHONY: demo
demo: setup  ## build a release of the demo marketplace, serve it and show recommendations
	.venv/bin/winnow demo $(ARGS)

.PHONY: up
up: setup  ## serve the newest release
	.venv/bin/winnow up $(ARGS)

.PHONY: test
test: setup  ## run all tests
	.venv/bin/python -m pytest $(ARGS)

.PHONY: lint
lint: setup  ## check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.PHONY: validate
validate: setup  ## check what runs on the cluster: schemas, links, security, metrics, units
	.venv/bin/python -m validation

.PHONY: images
images:  ## build and tag the container images, with docker, podman or buildah
	images/build $(or $(ARGS),serving training spark)

.PHONY: tools
tools: .venv/bin/uv  ## put checkov, kustomize and helm (where Go is) and S3A (where Maven is) into .tools/
	.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .tools/checkov
	.venv/bin/uv pip install --quiet --python .tools/checkov/bin/python checkov==$(CHECKOV_VERSION)
	@command -v go >/dev/null || { echo "SKIPPED kustomize and helm: Go is not on the PATH (kubectl kustomizes as well)"; exit 0; }; \
	for tool in sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION) helm.sh/helm/v3/cmd/helm@$(HELM_VERSION); do \
	echo "go install $$tool"; GOBIN=$(CURDIR)/.tools go install "$$tool"; done
	@command -v mvn >/dev/null || { echo "SKIPPED hadoop-aws: Maven is not on the PATH"; exit 0; }; \
	mvn --batch-mode --quiet --file images/spark/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.tools/hadoop-aws

.PHONY: apiserver
apiserver: export GOFLAGS := -trimpath -ldflags=-s
apiserver:  ## build a Kubernetes API server, kube-state-metrics and KServe's controller into .tools/ (Go; some 7 minutes)
	@command -v go >/dev/null || { echo "SKIPPED the API server: Go is not on the PATH"; exit 0; }; set -x; \
	cd validation/go; \
	go build -o $(CURDIR)/.tools/etcd go.etcd.io/etcd/server/v3; \
	go build -o $(CURDIR)/.tools/kube-state-metrics k8s.io/kube-state-metrics/v2; \
	go build -o $(CURDIR)/.tools/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver; \
	cd "$$(go mod download -json github.com/kserve/kserve@$(KSERVE_VERSION) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')"; \
	go build -o $(CURDIR)/.tools/kserve-manager ./cmd/manager; \
	install -D -m 644 -t $(CURDIR)/.tools/kserve-crds config/crd/full/serving.kserve.io_trainedmodels.yaml \
	config/crd/full/clusterstoragecontainer/serving.kserve.io_*.yaml

.PHONY: bench
bench: setup  ## measure the newest release's funnel (ARGS names another benchmark)
	.venv/bin/python -m benchmarks $(or $(ARGS),funnel)

.PHONY: clean
clean:  ## remove what setup and the tools made; .winnow (releases, logs) stays
	rm -rf .venv .venv-triton build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: python
python:
	@[[ -n "$(PYTHON)" ]] || { \
	echo "Winnow needs Python 3.11, which is not on the PATH. Install it, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }

.venv/bin/uv: | python
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet uv==$(UV_VERSION)

# The stamps are older than what they were made from when a pin changes, and only then is anything installed again.
.venv/.installed: pyproject.toml constraints.txt | .venv/bin/uv
	$(UV) --python .venv/bin/python --constraint constraints.txt --editable '.[serving,training,cpu,pipelines,spark,local,dev]'
	touch $@

# Without dependencies: the wheel asks for gRPC, protobuf and more for its Python API, which Winnow does not use.
.venv-triton/.installed: requirements-triton.txt | .venv/bin/uv
	$(PYTHON) -m venv --without-pip .venv-triton
	$(UV) --python .venv-triton/bin/python --no-deps --requirement requirements-triton.txt
	touch $@
