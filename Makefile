.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

DEMO := docker compose --env-file .env.sandbox
BIN := .venv/bin
READY := .venv/.ready
BROWSER := .venv/.browser
SCRIPT := sandbox/telegram-web-app.js
SCRIPT_PACKAGE := @twa-dev/sdk@8.0.2
SCRIPT_SHA256 := f4a03f7df8841ff5f232ad3a7416033df85594a23ce8b8cab64a82a9dad960d5
WATCHERS := prometheus alertmanager postgres-exporter grafana
ENGINE_MIN := 25
COMPOSE_MIN := 2.24

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Running -------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: docker ## Start the whole product on this machine, with no account anywhere
	@# Pages load Telegram's script from telegram.org. The copy is for a machine that cannot reach it.
	@[ -f $(SCRIPT) ] || ! command -v npm >/dev/null || $(MAKE) --silent --no-print-directory $(SCRIPT) || true
	@# A service that only watches is left out if its image cannot be pulled: people can still pay.
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
stop: docker ## Stop the demo and forget what was in it
	@$(DEMO) down --volumes

.PHONY: logs
logs: docker ## Follow the demo's log lines
	@$(DEMO) logs --follow --tail 50

# Testing -------------------------------------------------------------------------------------------------------------

# In lanes of about one length; folders that stand in none of them come after the browser's. A lane that starts containers
# waits until no browser is open, so those folders come last.
BROWSING := tests/e2e
TALKING := tests/bot tests/leaks
SETTLING := tests/integration tests/chaos tests/docs tests/sandbox tests/unit tests/examples tests/tracing

.PHONY: test
test: docker $(READY) $(BROWSER) $(SCRIPT) ## Pass every test: unit, integration, end to end
	@# Side by side, as most of them wait for somebody. tests/network.py keeps browsers and containers out of each other's way.
	@beside=$$(mktemp -d); status=0; \
	$(BIN)/pytest $(TALKING) >"$$beside/1" 2>&1 & talking=$$!; \
	$(BIN)/pytest $(SETTLING) >"$$beside/2" 2>&1 & settling=$$!; \
	$(BIN)/pytest $(BROWSING) || status=$$?; \
	$(BIN)/pytest tests $(patsubst %,--ignore=%,$(BROWSING) $(TALKING) $(SETTLING)) || status=$$?; \
	wait $$talking || status=$$?; \
	wait $$settling || status=$$?; \
	cat "$$beside"/*; rm -r "$$beside"; \
	exit $$status

.PHONY: quick
quick: $(READY) $(SCRIPT) ## Pass the tests that need no Docker
	@$(BIN)/pytest tests/unit tests/sandbox

.PHONY: soak
soak: docker $(READY) ## Try 5,000 random sequences of steps against the invariants of the ledger
	@MONEY_MACHINE_SEQUENCES=5000 $(BIN)/pytest --capture=no tests/integration/test_money_machine.py

.PHONY: rush
rush: docker $(READY) ## Let 1,000 people write to the bot within two seconds
	@RUSH_PEOPLE=1000 $(BIN)/pytest --capture=no tests/bot/test_rush.py

.PHONY: chaos
chaos: docker $(READY) ## Break the running product at random for ten minutes, under load, and check that nothing was lost
	@# CHAOS_MINUTES, CHAOS_SEED and others: tests/chaos/__main__.py
	@$(BIN)/python -m tests.chaos

.PHONY: mutate
mutate: $(READY) ## Change the pure rules in small ways and list the changes that no test notices
	@# From the beginning: mutmut would not test a survivor again after its tests were improved.
	@rm -rf mutants
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results --all true | $(BIN)/python -m tools.mutants

.PHONY: bench
bench: docker $(READY) ## Measure how fast payments are settled, beside a baseline
	@docker compose --project-name coffee-ledger-bench --file benchmarks/compose.yaml up --detach --wait --quiet-pull
	@status=0; \
	PYTHONPATH=. $(BIN)/python benchmarks/settling.py postgresql://ledger_owner@127.0.0.1:55433/ledger || status=$$?; \
	docker compose --project-name coffee-ledger-bench --file benchmarks/compose.yaml down --volumes; \
	exit $$status

.PHONY: attack
attack: docker $(READY) ## Hold thousands of stalled connections against the front door, and pay meanwhile
	@$(BIN)/python -m tests.attack

.PHONY: simulate
simulate: $(READY) ## Count wrong guesses on a simulated page, by the old rule and today's
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
	$(BIN)/sqlfluff lint --disable-progress-bar db/init.sql coffee_ledger/queries
	$(BIN)/shellcheck db/passwords.sh db/backup.sh alertmanager/start.sh .ci/run
	docker run --rm --env PUBLIC_HOST=localhost --volume ./proxy/Caddyfile:/etc/caddy/Caddyfile:ro \
	    $$($(DEMO) config --images | grep '^caddy:') caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile

.PHONY: monitoring
monitoring: $(READY) ## Write the rules of Prometheus and the dashboards of Grafana from monitoring/
	@$(BIN)/python -m monitoring

.PHONY: settings
settings: $(READY) ## Write the table of settings and .env.example from the fields of the settings
	@$(BIN)/python -m tools.settings

.PHONY: pictures
pictures: docker $(READY) $(BROWSER) $(SCRIPT) ## Draw the documents' pictures from the running product
	@REVISION=$$(git rev-parse --short HEAD) $(BIN)/python -m tools.pictures

.PHONY: format
format: $(READY) ## Put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(READY) ## Pin the newest versions of what requirements/*.in ask for
	for set in runtime dev build; do \
	    $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-emit-index-url \
	        --no-emit-find-links --custom-compile-command "make lock" requirements/$$set.in --output-file requirements/$$set.lock; \
	done

# What the others need ------------------------------------------------------------------------------------------------

$(READY): requirements/dev.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	@echo "Setting up .venv …"
	@python3 -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.lock
	@touch $@

# Chromium: Debian's where we may install it, with a font for its emoji, and Playwright's own anywhere else.
$(BROWSER): $(READY)
	@if [ ! -x /usr/bin/chromium ] && [ "$$(id -u)" = 0 ] && grep -qx 'ID=debian' /etc/os-release; then \
	    echo "Installing Chromium …"; \
	    apt-get update -qq; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core fonts-noto-color-emoji >/dev/null; \
	fi
	@[ -x /usr/bin/chromium ] || $(BIN)/playwright install chromium
	@touch $@

# Telegram's script at the level of Bot API 8.0, unchanged, as an npm package has it. It is not ours to hand on.
$(SCRIPT):
	@command -v npm >/dev/null || { echo "npm is needed, to fetch a copy of Telegram's script for the tests."; exit 1; }
	@folder=$$(mktemp -d); trap 'rm -r "$$folder"' EXIT; \
	npm pack --silent --pack-destination "$$folder" $(SCRIPT_PACKAGE) >/dev/null; \
	tar --extract --gzip --file "$$folder"/*.tgz --directory "$$folder" package/src/telegram-web-apps.js; \
	echo "$(SCRIPT_SHA256)  $$folder/package/src/telegram-web-apps.js" | sha256sum --check --quiet; \
	install -m 644 "$$folder/package/src/telegram-web-apps.js" $@

.PHONY: docker
docker:
	@docker info >/dev/null 2>&1 || { echo "Docker does not answer: install it, start it, and see that you may use it (docker info)."; exit 1; }
	@engine=$$(docker version --format '{{.Server.Version}}' 2>/dev/null) || true; \
	[ -n "$$engine" ] && printf '%s\n%s\n' $(ENGINE_MIN) "$$engine" | sort --check=quiet --version-sort || \
	    { echo "Docker Engine $(ENGINE_MIN) or newer is needed; this is $${engine:-unknown}."; exit 1; }
	@version=$$(docker compose version --short 2>/dev/null | sed 's/^v//') || true; \
	[ -n "$$version" ] && printf '%s\n%s\n' $(COMPOSE_MIN) "$$version" | sort --check=quiet --version-sort || \
	    { echo "Docker Compose $(COMPOSE_MIN) or newer is needed; this is $${version:-none}."; exit 1; }
