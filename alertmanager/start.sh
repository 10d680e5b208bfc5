#!/bin/sh
# Puts into the configuration what a file cannot know, and starts Alertmanager with the flags given here.
set -eu

from=/etc/alertmanager/alertmanager.yml
to=/tmp/alertmanager.yml

sed "s|https://api.telegram.org|$TELEGRAM_API_URL|" "$from" >"$to"
if [ ! -s /run/secrets/alerts_bot_token ]; then
    echo "alertmanager: ALERTS_BOT_TOKEN is not set, so that alerts are told to nobody" >&2
    sed 's/receiver: .*/receiver: nobody/' "$to" >"$to.mute"
    to=$to.mute
fi

exec /bin/alertmanager "--config.file=$to" "$@"
