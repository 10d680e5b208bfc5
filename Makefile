.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

DEMO := docker compose --env-file .env.sandbox
BIN := .venv/bin
READY := .venv/.ready
BROWSER := .venv/.browser
WRK := /usr/bin/wrk
PICTURE := docs/pictures/flame-after.svg
SCRIPT := sandbox/telegram-web-app.js
SCRIPT_PACKAGE := @twa-dev/sdk@8.0.2
SCRIPT_SHA256 := f4a03f7df8841ff5f232ad3a7416033df85594a23ce8b8cab64a82a9dad960d5
WATCHERS := prometheus alertmanager postgres-exporter grafana
ENGINE_MIN := 25
COMPOSE_MIN := 2.24
SWARM_LAB ?= $(wildcard ../shared/docker/swarm)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Running -------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: docker ## Start the whole product on this machine; needs no account
	@# Fetch a copy of Telegram's script for Mini Apps. Ignore a failure: the demo needs the copy only if the browser cannot
	@# reach telegram.org.
	@[ -f $(SCRIPT) ] || ! command -v npm >/dev/null || $(MAKE) --silent --no-print-directory $(SCRIPT) || true
	@# Leave out monitoring services whose images cannot be pulled. Payments in the demo work without monitoring.
	@without=; \
	for service in $(WATCHERS); do \
	    $(DEMO) pull --quiet --policy missing $$service >/dev/null 2>&1 || without="$$without $$service"; \
	done; \
	[ -z "$$without" ] || echo "Images could not be pulled. The demo starts without:$$without"; \
	$(DEMO) up --build --wait $$(printf '%s\n' $$without - | grep -vxFf - <($(DEMO) config --services)); \
	cat docs/demo.txt; \
	[[ " $$without " == *" grafana "* ]] || printf '    The dashboards                            http://127.0.0.1:3000, as admin with %s\n\n' \
	    "$$($(DEMO) exec -T grafana cat /run/secrets/admin_password)"

.PHONY: stop
stop: docker ## Stop the demo and delete its data
	@$(DEMO) down --volumes

.PHONY: logs
logs: docker ## Follow the demo's logs
	@$(DEMO) logs --follow --tail 50

# Testing -------------------------------------------------------------------------------------------------------------

# `make test` runs the groups BROWSING, TALKING and SETTLING in parallel. RESTORING (a part of DEPLOYING), the rest of DEPLOYING
# and the folders that are in no group start when BROWSING has ended, because their tests start containers. While a browser is
# open, no container may start: the browser would abort the pages that it is loading (tests/network.py).
BROWSING := tests/e2e
TALKING := tests/bot tests/leaks
SETTLING := tests/integration tests/chaos tests/docs tests/sandbox tests/unit tests/examples tests/tracing
RESTORING := tests/deployment/test_move.py tests/deployment/test_restore.py
DEPLOYING := tests/deployment

.PHONY: test
test: docker $(READY) $(BROWSER) $(SCRIPT) ## Run all tests: unit, integration, end to end
	@# Run the groups in parallel, because most tests wait for I/O. If a container started while a browser is open, the browser would
	@# abort the pages that it is loading. A lock in tests/network.py prevents this.
	@beside=$$(mktemp -d); status=0; \
	$(BIN)/pytest $(TALKING) >"$$beside/1" 2>&1 & talking=$$!; \
	$(BIN)/pytest $(SETTLING) >"$$beside/2" 2>&1 & settling=$$!; \
	$(BIN)/pytest $(BROWSING) || status=$$?; \
	$(BIN)/pytest $(RESTORING) >"$$beside/3" 2>&1 & restoring=$$!; \
	$(BIN)/pytest $(DEPLOYING) $(patsubst %,--ignore=%,$(RESTORING)) >"$$beside/4" 2>&1 & deploying=$$!; \
	$(BIN)/pytest tests $(patsubst %,--ignore=%,$(BROWSING) $(TALKING) $(SETTLING) $(DEPLOYING)) || status=$$?; \
	wait $$talking || status=$$?; \
	wait $$settling || status=$$?; \
	wait $$restoring || status=$$?; \
	wait $$deploying || status=$$?; \
	cat "$$beside"/*; rm -r "$$beside"; \
	exit $$status

# `make quick` runs three parts in parallel: the group CHATTING, the group WAITING, and the rest of tests/unit. Each part takes about
# the same time. All tests that import aiogram are in CHATTING, because this import takes 2.5 seconds of CPU time in each process.
# Most tests of WAITING wait for servers, processes and time limits.
CHATTING := tests/sandbox $(wildcard $(patsubst %,tests/unit/test_%.py,bot_* connections links logs))
WAITING := $(patsubst %,tests/unit/test_%.py,bodies events imports process prose spool)

.PHONY: quick
quick: $(READY) $(SCRIPT) ## Run the tests that need no Docker
	@beside=$$(mktemp -d); status=0; \
	$(BIN)/pytest $(CHATTING) >"$$beside/1" 2>&1 & chatting=$$!; \
	$(BIN)/pytest $(WAITING) >"$$beside/2" 2>&1 & waiting=$$!; \
	$(BIN)/pytest tests/unit $(patsubst %,--ignore=%,$(CHATTING) $(WAITING)) || status=$$?; \
	wait $$chatting || status=$$?; \
	wait $$waiting || status=$$?; \
	cat "$$beside"/*; rm -r "$$beside"; \
	exit $$status

.PHONY: soak
soak: docker $(READY) ## Check the invariants of the ledger in thousands of random sequences of steps
	@MONEY_MACHINE_SEQUENCES=5000 RECONCILING_MACHINE_HISTORIES=2000 \
	    $(BIN)/pytest --capture=no tests/integration/test_money_machine.py tests/integration/test_reconciling_machine.py

.PHONY: rush
rush: docker $(READY) ## Test the bot with 1,000 users who write within two seconds
	@RUSH_PEOPLE=1000 $(BIN)/pytest --capture=no tests/bot/test_rush.py

.PHONY: chaos
chaos: docker $(READY) ## Inject random faults under load for ten minutes, and check that nothing is lost
	@# tests/chaos/__main__.py describes CHAOS_MINUTES, CHAOS_SEED and the other variables.
	@$(BIN)/python -m tests.chaos

# The target `swarm` needs a program that starts several Docker engines on this machine. The variable SWARM_LAB names this
# program (see tests/swarm/lab.py). If the program is missing, the target only prints a message.
.PHONY: swarm
ifneq ($(wildcard $(SWARM_LAB)),)
swarm: docker $(READY) $(WRK) ## Kill nodes of a Swarm and update it under load, and check that nothing is lost; a quarter of an hour
	@SWARM_LAB=$(SWARM_LAB) $(BIN)/python -m tests.swarm
else
swarm:
	@echo "make swarm: skipped, because this machine has no lab with several Docker engines. SWARM_LAB can name its program."
endif

.PHONY: drill
drill: docker $(READY) ## Stop the webhook for an hour of moved clocks, and check that every payment is found afterwards
	@$(BIN)/pytest --capture=no tests/e2e/drill_reconciliation.py

.PHONY: mutate
mutate: $(READY) ## Run mutation tests on the pure rules and list the surviving mutants
	@# Delete earlier results. Otherwise mutmut would not test a surviving mutant again, even if the tests were improved.
	@rm -rf mutants
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results --all true | $(BIN)/python -m tools.mutants

.PHONY: bench
bench: docker $(READY) $(WRK) ## Compare the speed of the webhook with its peers; FULL=1 measures all figures and writes docs/performance.md
	@mkdir -p build
	@$(BIN)/python -m benchmarks $(if $(FULL),--full --document docs/performance.md --picture docs/pictures/bench.svg,--picture build/bench.svg)

.PHONY: flame
flame: docker $(READY) $(WRK) ## Draw a flame graph of the webhook under load into PICTURE
	@$(BIN)/python -m benchmarks.flame $(PICTURE)

.PHONY: attack
attack: docker $(READY) ## Open thousands of stalled connections to the proxy, and pay meanwhile
	@$(BIN)/python -m tests.attack

.PHONY: simulate
simulate: $(READY) ## Count wrong guesses on a simulated page, by the old and the current rule
	@PYTHONPATH=. $(BIN)/python benchmarks/guessing.py --picture docs/pictures/guessing.svg

.PHONY: check
check: docker $(READY) ## Run the linters and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/compose-lint compose.yaml --fail-on high
	$(BIN)/hadolint Dockerfile
	$(BIN)/sqlfluff lint --disable-progress-bar db/roles.sql db/init.sql db/migrations coffee_ledger/queries
	$(if $(wildcard db/migrations/*.sql),$(BIN)/squawk $(wildcard db/migrations/*.sql))
	$(BIN)/shellcheck --external-sources db/*.sh deploy/swarm/*.sh alertmanager/start.sh .ci/run
	docker run --rm --env PUBLIC_HOST=localhost --volume ./proxy/Caddyfile:/etc/caddy/Caddyfile:ro \
	    $$($(DEMO) config --images | grep '^caddy:') caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile

.PHONY: monitoring
monitoring: $(READY) ## Generate Prometheus rules and Grafana dashboards from monitoring/
	@$(BIN)/python -m monitoring

.PHONY: settings
settings: $(READY) ## Write the table of settings and .env.example from the fields of the settings
	@$(BIN)/python -m tools.settings

.PHONY: pictures
pictures: docker $(READY) $(BROWSER) $(SCRIPT) ## Take the screenshots of the documents from the running product
	@REVISION=$$(git rev-parse --short HEAD) $(BIN)/python -m tools.pictures

.PHONY: snapshot
snapshot: docker $(READY) ## Store the schema and a filled database of this release, for the tests of later ones
	@$(BIN)/python -m tools.snapshot

.PHONY: format
format: $(READY) ## Format the code and fix lint errors
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(READY) ## Pin the newest versions of the packages in requirements/*.in
	for set in runtime dev build; do \
	    $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-emit-index-url \
	        --no-emit-find-links --custom-compile-command "make lock" requirements/$$set.in --output-file requirements/$$set.lock; \
	done
	@# The programs of benchmarks/peers run only in the product's image, so lock packages only for this image's version of
	@# Python.
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.14 --no-emit-index-url \
	    --no-emit-find-links --custom-compile-command "make lock" requirements/bench.in --output-file requirements/bench.lock

# Prerequisites -------------------------------------------------------------------------------------------------------

$(READY): requirements/dev.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	@echo "Setting up .venv …"
	@python3 -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.lock
	@touch $@

# Install Chromium. As root on Debian, install Debian's packages of Chromium and fonts. Otherwise install Playwright's build.
$(BROWSER): $(READY)
	@if [ ! -x /usr/bin/chromium ] && [ "$$(id -u)" = 0 ] && grep -qx 'ID=debian' /etc/os-release; then \
	    echo "Installing Chromium …"; \
	    apt-get update -qq; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core fonts-noto-color-emoji >/dev/null; \
	fi
	@[ -x /usr/bin/chromium ] || $(BIN)/playwright install chromium
	@touch $@

# Install wrk, the load generator of `make bench`. This works only as root on Debian. Elsewhere, the developer must install it.
$(WRK):
	@if [ "$$(id -u)" = 0 ] && grep -qx 'ID=debian' /etc/os-release; then \
	    echo "Installing wrk …"; \
	    apt-get update -qq; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends wrk >/dev/null; \
	fi
	@[ -x $@ ] || { echo "wrk is needed at $@. Debian and Ubuntu have it as the package wrk."; exit 1; }

# Fetch an unchanged copy of Telegram's script for Mini Apps (Bot API 8.0) from an npm package. The repository does not contain
# the script, because we have no licence to distribute it.
$(SCRIPT):
	@command -v npm >/dev/null || { echo "npm is needed to fetch a copy of Telegram's script for the tests."; exit 1; }
	@folder=$$(mktemp -d); trap 'rm -r "$$folder"' EXIT; \
	npm pack --silent --pack-destination "$$folder" $(SCRIPT_PACKAGE) >/dev/null; \
	tar --extract --gzip --file "$$folder"/*.tgz --directory "$$folder" package/src/telegram-web-apps.js; \
	echo "$(SCRIPT_SHA256)  $$folder/package/src/telegram-web-apps.js" | sha256sum --check --quiet; \
	install -m 644 "$$folder/package/src/telegram-web-apps.js" $@

.PHONY: docker
docker:
	@docker info >/dev/null 2>&1 || { echo "Docker does not answer. Install and start it, and check that you have access to it: docker info"; exit 1; }
	@engine=$$(docker version --format '{{.Server.Version}}' 2>/dev/null) || true; \
	[ -n "$$engine" ] && printf '%s\n%s\n' $(ENGINE_MIN) "$$engine" | sort --check=quiet --version-sort || \
	    { echo "Docker Engine $(ENGINE_MIN) or newer is needed; found: $${engine:-unknown}."; exit 1; }
	@version=$$(docker compose version --short 2>/dev/null | sed 's/^v//') || true; \
	[ -n "$$version" ] && printf '%s\n%s\n' $(COMPOSE_MIN) "$$version" | sort --check=quiet --version-sort || \
	    { echo "Docker Compose $(COMPOSE_MIN) or newer is needed; found: $${version:-none}."; exit 1; }
