## The Mini App's button, and the bot's description, which Telegram shows before the user presses Start

menu-button = ☕ Support
description = Support this project on Buy Me a Coffee, and receive bonus credits here.

    Pick an amount, paste a short code into the note on Buy Me a Coffee, pay, and your credits arrive automatically, usually within seconds.
