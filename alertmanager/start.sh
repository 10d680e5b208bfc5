#!/bin/sh
# Complete the configuration from the environment and the secrets. Then start Alertmanager with the arguments of this script.
set -eu

from=/etc/alertmanager/alertmanager.yml
to=/tmp/alertmanager.yml
links=/tmp/links.tmpl

# Print the URL in the setting $1 without a trailing slash. Fail if a character of the URL could break the template or the message.
address() {
    eval "url=\${$1:-}"
    case $url in
    "") return ;;
    http://* | https://*) ;;
    *) url="<" ;;
    esac
    case $url in
    *[!A-Za-z0-9:/._~?=\&%@+,-]*)
        echo "alertmanager: $1 must be an address such as https://example.org/page, without #: see .env.example" >&2
        return 1
        ;;
    esac
    echo "${url%/}"
}

mute=nobody
if [ ! -s /run/secrets/alerts_bot_token ]; then
    echo "alertmanager: ALERTS_BOT_TOKEN is not set; alerts are not sent" >&2
    mute="page|ticket"
fi
[ -s /run/secrets/alerts_watchdog_url ] || mute="$mute|watchdog"

runbook=$(address ALERTS_RUNBOOK_URL)
dashboard=$(address ALERTS_DASHBOARD_URL)
if [ -n "$runbook$dashboard" ]; then
    # Link to the heading of the alert in the runbook, which is the alert's name, and to the dashboard in the alert's annotation.
    {
        printf '{{ define "telegram.links" }}\n'
        [ -z "$runbook" ] || printf '\n<a href="%s#{{ .CommonLabels.alertname | toLower }}">What to do</a>' "$runbook"
        [ -z "$dashboard" ] || printf '\n<a href="%s/d/{{ reReplaceAll "^.*/" "" .CommonAnnotations.dashboard_url }}">Dashboard</a>' "$dashboard"
        printf '{{ end }}\n'
    } >"$links"
fi

sed -E -e "s|https://api.telegram.org|$TELEGRAM_API_URL|" -e "s/receiver: ($mute)$/receiver: nobody/" "$from" >"$to"
exec /bin/alertmanager "--config.file=$to" "$@"
