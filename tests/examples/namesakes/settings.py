WORD = "settings"
