## The Mini App's button, and the bot's description, which Telegram shows before the user presses Start

menu-button = ☕ Support
description = Support this project on Buy Me a Coffee, and receive bonus credits here.

    Pick an amount, pay on Buy Me a Coffee with a short code in the note, and your credits arrive automatically, usually within seconds.
