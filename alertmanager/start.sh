#!/bin/sh
# Complete the configuration from the environment and the secrets. Then run Alertmanager with the arguments of this script, and hide the
# secrets in Alertmanager's log.
set -eu

from=/etc/alertmanager/alertmanager.yml
to=/tmp/alertmanager.yml
links=/tmp/links.tmpl
log=/tmp/log

# Print the URL in the setting $1 without a trailing slash. Fail if the URL has a character that could break the template of
# Alertmanager's messages or the HTML of a message.
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

# Print the secret $1, or nothing if it is not set.
secret() {
    [ ! -f "/run/secrets/$1" ] || cat "/run/secrets/$1"
}

# In the variable `line`, replace each occurrence of the text $1 by $2. Do nothing if $1 is empty.
replace() {
    rest=$line
    line=
    while [ -n "$1" ] && [ "$rest" != "${rest#*"$1"}" ]; do
        line=$line${rest%%"$1"*}$2
        rest=${rest#*"$1"}
    done
    line=$line$rest
}

# Copy each line from standard input to standard output, and replace the value of each secret by the secret's name.
# If Telegram cannot be reached, Alertmanager logs the URL of the failed call, and this URL contains the token of the bot
# (github.com/tucnak/telebot/issues/770). Do not use sed: the image has only the sed of BusyBox, which keeps lines in a buffer.
# With sed, the lines would appear late in the log.
hide_secrets() {
    while IFS= read -r line || [ -n "$line" ]; do
        replace "$token" "<alerts_bot_token>"
        replace "$watchdog" "<alerts_watchdog_url>"
        printf '%s\n' "$line"
    done
}

token=$(secret alerts_bot_token)
watchdog=$(secret alerts_watchdog_url)
mute=nobody
if [ -z "$token" ]; then
    echo "alertmanager: ALERTS_BOT_TOKEN is not set; alerts are not sent" >&2
    mute="page|ticket"
fi
[ -n "$watchdog" ] || mute="$mute|watchdog"

runbook=$(address ALERTS_RUNBOOK_URL)
dashboard=$(address ALERTS_DASHBOARD_URL)
if [ -n "$runbook$dashboard" ]; then
    # Write a template with a link for each URL that is set. The link for `runbook` leads to the heading with the alert's name.
    # The link for `dashboard` leads to the dashboard that the annotation `dashboard_url` names.
    {
        printf '{{ define "telegram.links" }}\n'
        [ -z "$runbook" ] || printf '\n<a href="%s#{{ .CommonLabels.alertname | toLower }}">What to do</a>' "$runbook"
        [ -z "$dashboard" ] || printf '\n<a href="%s/d/{{ reReplaceAll "^.*/" "" .CommonAnnotations.dashboard_url }}">Dashboard</a>' "$dashboard"
        printf '{{ end }}\n'
    } >"$links"
fi

sed -E -e "s|https://api.telegram.org|$TELEGRAM_API_URL|" -e "s/receiver: ($mute)$/receiver: nobody/" "$from" >"$to"

# Wait for Alertmanager and for `hide_secrets`, because the container ends when this script ends. If Alertmanager replaced the
# script (`exec`), the container would end before `hide_secrets` has written Alertmanager's last lines.
[ -p "$log" ] || mkfifo -m 600 "$log"
hide_secrets <"$log" &
reader=$!
/bin/alertmanager "--config.file=$to" "$@" >"$log" 2>&1 &
alertmanager=$!
trap 'kill -TERM "$alertmanager"' TERM INT
trap 'kill -HUP "$alertmanager"' HUP
status=0
wait "$alertmanager" || status=$?
# A signal to this script ends `wait` before Alertmanager has ended. So wait again.
while kill -0 "$alertmanager" 2>/dev/null; do
    status=0
    wait "$alertmanager" || status=$?
done
wait "$reader"
exit "$status"
