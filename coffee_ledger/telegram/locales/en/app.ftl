## The Mini App's button, and what Telegram shows of the bot before anybody presses Start

menu-button = ☕ Support
description = Support this project on Buy Me a Coffee, and receive bonus credits here.

    Pick an amount, pay on Buy Me a Coffee with a short code in the note, and your credits arrive by themselves, usually within seconds.
