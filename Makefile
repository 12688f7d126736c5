# Winnow: everything runs with Python 3.11, 3.12 or 3.13 and make. `make help` prints the targets.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# ONNX Runtime's wheels send usage data unless it is disabled.
export ORT_DISABLE_TELEMETRY := 1

# The first supported Python on the PATH; without one, uv fetches it. To choose another: make PYTHON=/path/to/python3.12
PYTHON ?= $(or $(shell for python in python3 python3.12 python3.11 python3.13; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { command -v "$$python"; break; }; done),3.12)
# NumPy 1, which Triton's Python backend needs, has no wheels for Python 3.13.
TRITON_PYTHON ?= $(shell "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info >= (3, 13))' 2>/dev/null && echo "$(PYTHON)" || echo '>=3.11,<3.13')
UV := .tools/uv/bin/uv
# Compile bytecode once, also for environments in which Python writes none (PYTHONDONTWRITEBYTECODE).
INSTALL := $(UV) pip install --compile-bytecode
UV_VERSION := 0.13.9
CHECKOV_VERSION := 3.3.30
KUSTOMIZE_VERSION := v5.5.0
HELM_VERSION := v3.16.4
KSERVE_VERSION := v0.20.0

.PHONY: help
help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.installed .venv-triton/.installed  ## install the demo's dependencies (a second run does nothing)

.PHONY: develop
develop: setup .venv/.developing  ## install the tests' dependencies, too: Spark and developer tools

.PHONY: demo
demo: setup  ## build a release of the demo marketplace, serve it and show recommendations
	.venv/bin/winnow demo $(ARGS)

.PHONY: up
up: setup  ## serve the newest release
	.venv/bin/winnow up $(ARGS)

.PHONY: test
test: develop  ## run all tests in two processes (ARGS names others)
	.venv/bin/python -m pytest $(or $(ARGS),-n 2)

.PHONY: test-unit
test-unit: develop  ## run the unit tests: no servers, under two minutes
	.venv/bin/python -m pytest -m unit tests/unit $(ARGS)

.PHONY: lint
lint: develop  ## check style, types and declared dependencies
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/deptry winnow transformers export kfp_pipelines

.PHONY: format
format: develop  ## format the code and apply the fixes that ruff knows
	.venv/bin/ruff check --fix-only --exit-zero .
	.venv/bin/ruff format .

.PHONY: docs
docs: develop  ## build the guides and the API reference into build/docs; a broken link fails
	.venv/bin/python -m sphinx --fail-on-warning --keep-going --quiet -b html -c docs $(ARGS) . build/docs

.PHONY: graph
graph:  ## print which folder imports which, level by level
	@"$(PYTHON)" -m tests.support.folder_graph

.PHONY: validate
validate: develop  ## check the cluster's manifests: schemas, links, security, metrics, units
	.venv/bin/python -m cluster_validation

.PHONY: images
images:  ## build and tag the container images, with docker, podman or buildah
	images/build $(or $(ARGS),serving training spark)

.PHONY: tools
tools: $(UV)  ## install checkov, kustomize and helm (with Go) and S3A (with Maven) into .tools/
	$(UV) venv --quiet --allow-existing --python "$(PYTHON)" .tools/checkov
	$(UV) pip install --quiet --python .tools/checkov/bin/python checkov==$(CHECKOV_VERSION)
	@command -v go >/dev/null || { echo "SKIPPED kustomize and helm: Go is not on the PATH (kubectl kustomizes as well)"; exit 0; }; \
	for tool in sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION) helm.sh/helm/v3/cmd/helm@$(HELM_VERSION); do \
	echo "go install $$tool"; GOBIN="$(CURDIR)/.tools" go install "$$tool"; done
	@command -v mvn >/dev/null || { echo "SKIPPED hadoop-aws: Maven is not on the PATH"; exit 0; }; \
	mvn --batch-mode --quiet --file images/spark/pom.xml dependency:copy-dependencies -DoutputDirectory="$(CURDIR)/.tools/hadoop-aws"

.PHONY: apiserver
apiserver: export GOFLAGS := -trimpath -ldflags=-s
apiserver:  ## build a Kubernetes API server, kube-state-metrics and KServe's controller into .tools/ (Go; about 7 minutes)
	@command -v go >/dev/null || { echo "SKIPPED the API server: Go is not on the PATH"; exit 0; }; set -x; \
	cd cluster_validation/api_server/go; \
	go build -o "$(CURDIR)/.tools/etcd" go.etcd.io/etcd/server/v3; \
	go build -o "$(CURDIR)/.tools/kube-state-metrics" k8s.io/kube-state-metrics/v2; \
	go build -o "$(CURDIR)/.tools/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver; \
	cd "$$(go mod download -json github.com/kserve/kserve@$(KSERVE_VERSION) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')"; \
	go build -o "$(CURDIR)/.tools/kserve-manager" ./cmd/manager; \
	install -D -m 644 -t "$(CURDIR)/.tools/kserve-crds" config/crd/full/serving.kserve.io_trainedmodels.yaml \
	config/crd/full/clusterstoragecontainer/serving.kserve.io_*.yaml

.PHONY: bench
bench: develop  ## measure the newest release's funnel (ARGS names another benchmark)
	.venv/bin/python -m benchmarks $(or $(ARGS),funnel)

.PHONY: clean
clean:  ## remove the files of setup and the tools; .winnow (releases, logs) is kept
	rm -rf .venv .venv-triton .tools/uv build docs/api *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv is a wheel, so a Python of any version with venv can install it.
$(UV):
	@for python in "$(PYTHON)" python3; do "$$python" -m venv .tools/uv 2>/dev/null && break; done || { \
	echo "Set-up needs a Python with its venv module to start from. Install one (Debian: apt-get install python3-venv)." >&2; exit 1; }
	.tools/uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

# torch's build without CUDA (about 5 GB less) where there is no GPU and its package index is reachable; else PyPI's.
TORCH = $$(test -e /dev/nvidiactl || UV_HTTP_RETRIES=0 UV_HTTP_TIMEOUT=10 $(UV) pip install --dry-run --reinstall --no-deps \
	--python .venv/bin/python --constraint constraints.txt --torch-backend=cpu torch >/dev/null 2>&1 && echo --torch-backend=cpu)
# The remedy after a failed search or download; uv prints the cause above it.
NO_PYTHON = { echo "uv could not make an environment with Python $(1): see above. Where none could be fetched, install one, or name it: make $(2)=/path/to/python3.12" >&2; exit 1; }
PROJECT = $(INSTALL) $(TORCH) --python .venv/bin/python --constraint constraints.txt --editable

# A stamp is older than its files when a pin has changed; only then are packages installed again.
.venv/.installed: pyproject.toml constraints.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python "$(PYTHON)" .venv || $(call NO_PYTHON,3.11 to 3.13,PYTHON)
	$(PROJECT) '.[serving,explorer,training,cpu,pipelines,local,milvus]'
	touch $@

.venv/.developing: .venv/.installed
	$(PROJECT) '.[serving,explorer,training,cpu,pipelines,local,milvus,spark,dev,docs]'
	touch $@

# Without dependencies: the wheel requires gRPC, protobuf and more for its Python API, which Winnow does not use.
.venv-triton/.installed: requirements-triton.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python "$(TRITON_PYTHON)" .venv-triton || $(call NO_PYTHON,3.11 or 3.12 (for Triton),TRITON_PYTHON)
	$(INSTALL) --python .venv-triton/bin/python --no-deps --requirement requirements-triton.txt
	touch $@
