WORD = "services"
