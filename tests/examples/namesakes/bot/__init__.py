WORD = "bot"
