WORD = "ledger"
