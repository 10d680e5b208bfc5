# The bot's texts in English. Values are already escaped; <b>, <i> and <code> are Telegram's HTML.

credits = { $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}

## Commands, as Telegram lists them

command-pay = Support and receive credits
command-balance = See your credits
command-history = The history of your credits
command-cancel = Cancel an open payment
command-paysupport = Help with a payment
command-claim = I paid, but no credits came
command-help = Questions and answers
command-language = Change the language
command-delete_me = Erase my data
command-privacy = Your data and privacy
about = Support on Buy Me a Coffee, and your bonus credits arrive here automatically.

## Start, and messages without a handler

start = Hello! ☕ Here you can support this project on Buy Me a Coffee, and your bonus credits arrive automatically.

    { $app ->
        [none] To begin, send /pay.
       *[some] Press “☕ Support” below, or send /pay.
    } Questions? /help
unknown = Sorry, I did not understand that. Send /pay to support, /balance to see your credits, or /help if you have a question.
code-goes-elsewhere = That looks like a code. Do not send it here: paste it into the note on Buy Me a Coffee when you pay. Send /pay to see the page again. Already paid without it? Send /claim.
try-later = The service is restarting. Nothing was changed and nothing is lost: please try again in a minute.
went-wrong = Something went wrong. Please try again; if it happens again, see /paysupport.

## Opening a payment

choose-amount = Thank you! How much would you like to give? You can also send another amount, such as <code>/pay { $example }</code>.
amount-button = { $amount } · bonus: { $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}
amount-unreadable = I could not read that amount. Send it like this: <code>/pay { $example }</code>
amount-too-small = The smallest amount is { $least }. Try <code>/pay { $example }</code>
amount-too-large = The largest amount is { $most }. Try <code>/pay { $example }</code>
currency-unknown = That currency is not accepted here. Choose one of these: { $currencies }. Try <code>/pay { $example }</code>
payment-request = <b>{ $amount }</b> · bonus: <b>{ $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}</b>

    Your code: <code>{ $code }</code>

    1. Copy the code.
    2. Open the page and paste the code into the note (“Say something nice…”).
    3. Pay { $amount }.

    Your credits arrive here automatically, usually within seconds.
receipt-paid = ✅ <b>{ $amount }</b> paid · <b>+{ $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}</b>

    Code: <code>{ $code }</code>
receipt-ended = ⌛ { $amount } with the code <code>{ $code }</code>: the time is up. If you paid with this code, your credits still arrive.
copy-button = Copy the code
page-button = Open Buy Me a Coffee
cancel-button = Cancel
too-many-open = You have { $count } open payments. Please pay or /cancel one of them first.
web-app-unreadable = I could not read the data from the page, so nothing was changed. Please open it again, or send /pay.
web-app-foreign = This request was made for another account, so nothing was changed. Please open the page from this chat.
web-app-taken = This code is already in use, so nothing was changed. Please open the page again, or send /pay.

## Cancelling

cancel-nothing = You have no open payment.
cancel-which = Which one would you like to cancel?
cancel-choice = { $amount } · { $code }
cancelled = Cancelled: { $amount }, code <code>{ $code }</code>. If you have paid with its code, your credits still arrive.
cancelled-short = Cancelled.
already-cancelled = This payment was already cancelled.
already-expired = This payment has expired. If you paid with its code, your credits still arrive.
already-completed = This payment has already arrived. Thank you!
button-old = This button is too old. Send /pay to start again.

## Balance and history

balance = You have <b>{ $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}</b>.
balance-debt = You have <b>{ $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}</b>, because a payment was refunded or corrected after its credits had been spent. New credits fill the gap first.
balance-kept-by-bot = This bot keeps your credits itself. /history shows the credits that your payments brought.
you-now-have = You now have { $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}.
history-empty = There is nothing here yet. Send /pay to support and receive your first credits.
history-title = Your latest credit changes:
history-payment = { $time }: <b>{ $credits }</b> for { $amount }
history-refund = { $time }: <b>{ $credits }</b>, { $amount } refunded
history-refund-part = { $time }: <b>{ $credits }</b>, part of { $amount } refunded
history-refund-corrected = { $time }: <b>{ $credits }</b>, only part of { $amount } was refunded
history-match-undone = { $time }: <b>{ $credits }</b>, { $amount } was credited to you by mistake: { $cause }
history-not-mine = { $time }: <b>{ $credits }</b>, you said that { $amount } was not your payment
history-reversal = { $time }: <b>{ $credits }</b>, taken back: { $cause }
history-spend = { $time }: <b>{ $credits }</b>, { $cause }
history-adjustment = { $time }: <b>{ $credits }</b>, { $cause }

## In groups

group-answer = Let us talk in a private chat: there you can support this project and see your credits.
group-button = Open the chat

## Support and privacy

paysupport = <b>Help with a payment</b>

    • Credits usually arrive within seconds of the payment. /balance shows them, and /history shows all changes.
    • Forgot the code, or mistyped it? Send /claim: an operator finds the payment and credits you.
    • The page’s owner makes refunds on Buy Me a Coffee; the credits are then taken back.

    Still missing something? Send /claim. Keep the receipt that Buy Me a Coffee sent you by e-mail.
privacy = <b>Your data</b>

    We keep:
    • Your Telegram ID, language and username, to write to you and to keep your credits.
    • Your payments: amount, currency, time and code.
    • Payment details from Buy Me a Coffee (name, e-mail address, note). They are erased after a while; the entries of your credits stay.

    Only the operators of this bot see this data; it is not passed on to others. /delete_me erases everything that can be erased. Buy Me a Coffee and Telegram have privacy rules of their own.

## Buttons that several messages share

app-button = ☕ Open the app
choose-button = Choose an amount
claim-button = I paid, but no credits came
other-amount-button = Another amount
amount-offered = Would you like to give { $amount }? Press the button, and you get your code. Already paid? /claim
voice-unread = Sorry, I cannot understand voice messages or videos. Write to me in a few words, or see /help.
claim-offered = If you paid and no credits came, press the button below or send /claim: a few short questions, and an operator looks for your payment. /balance shows your credits.
refund-asked = The page’s owner makes refunds, on Buy Me a Coffee: write to them there. When a payment is refunded, its credits are taken back. Did you pay and get no credits? Then press the button below or send /claim.
thanks-heard = You are welcome! ☕ Thank you for your support.
sticker-seen = ☕ Lovely, thank you! Send /pay to support, or /help if you have a question.
slow-down = You are too fast for me. Wait a moment and try again: nothing is lost.
picture-unread = Thank you! I cannot read receipts, pictures or files, though. If you paid and no credits came, send /claim: three short questions, and an operator looks for your payment.

## Frequent questions

help-title = <b>What would you like to know?</b>
help-how = <b>How do I support, and get my credits?</b>
    Choose an amount and copy the code. On Buy Me a Coffee, paste the code into the note and pay. Your credits arrive automatically, usually within seconds.
help-nothing-came = <b>I paid, but no credits came. What now?</b>
    Wait a minute and look at /balance. Still nothing? Send /claim: three short questions, then an operator looks for your payment.
help-code = <b>What if I forgot the code, or mistyped it?</b>
    Nothing is lost. A small slip is recognised; otherwise the payment waits until an operator matches it. /claim makes that quicker.
help-credits = <b>How many credits do I get, and what for?</b>
    { $rates }. The owner of this bot decides how you can use them; /history shows all changes.
help-back = <b>Can I have my money back, and who sees my data?</b>
    The page’s owner makes refunds on Buy Me a Coffee. /privacy lists your data and who sees it; /delete_me erases everything that can be erased.
rate = { $one } = { $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}

## “I paid, but no credits came”

claim-begin = Let us find your payment. Three short questions, then an operator looks for it.
claim-open-payment = No payment with the code <code>{ $code }</code> has arrived yet: <b>{ $amount }</b>, requested { $time }. <b>Did you pay this one?</b>

    Not paid yet? Then press Stop, and paste the code into the note when you pay.
claim-open-code = The code of your open payment is <code>{ $code }</code>.
claim-paid-today = Yes, paid today
claim-other-payment = Another payment, or another day
claim-when = <b>When did you pay?</b>
claim-arrived = One of your payments has arrived: { $amount } on { $time }, { $credits }. If you mean that one, all is well: /history shows it.
claim-words = Please answer in words or with one of the buttons: I cannot read pictures, files or voice messages. Send /cancel to stop.
claim-anew = I had to start over, sorry. Here is the first question again.
claim-today = Today
claim-yesterday = Yesterday
claim-other-day = Another day
claim-which-day = Send me the day, for example <code>{ $example }</code> or <code>{ $long }</code>.
claim-day-unreadable = I could not read that as one of the last { $days } days. Send it like this: <code>{ $example }</code> or <code>{ $long }</code>
claim-how-much = <b>How much did you pay?</b> Choose, or send the amount, such as <code>7.50</code>.
claim-amount-unreadable = I could not read that amount. Send it like this: <code>{ $example }</code>
claim-name = <b>Under which name did you pay?</b> Send the name you gave on Buy Me a Coffee. It is only used to find your payment, and erased later.
claim-skip = Skip
claim-stop = Stop
claim-stopped = Stopped. Nothing was sent. Send /claim to start again.
claim-passed-on = Thank you. I have passed it on to the operator: { $amount }, paid on { $day }. You will hear from us here.
claim-known = An operator is looking for the payment you reported on { $raised }: { $amount }, paid on { $day }. You will hear from us here. Was something different? Withdraw this claim, and send /claim again.
claim-withdraw = Withdraw
claim-withdrawn = Withdrawn. Send /claim whenever you need it.
claim-none = You have no open claim.
claim-too-many = You have reported several payments today. An operator will look for them first; please come back tomorrow.
claim-paused = We looked for several payments you reported, and did not find them. You can send /claim again after { $time }. A payment with your code is credited all the same.
claim-looked-up = I have looked at Buy Me a Coffee’s own list: it shows no payment with your code yet. An operator now looks for your { $amount }. You will hear from us here.
claim-declined = We looked for the payment you reported and did not find it. Please compare the day, the amount and the name with the receipt from Buy Me a Coffee, and send /claim again if something was different.
credits-adjusted = { $sign ->
    [plus] An operator added <b>{ $credits }</b> to your balance.{ $balance }
   *[minus] An operator took <b>{ $credits }</b> from your balance.{ $balance }
} /history shows why.
refund-corrected = Only part of your payment was refunded, so we gave you <b>{ $credits }</b> back.{ $balance }
match-undone = A payment had been credited to you by mistake, so we took <b>{ $credits }</b> back.{ $balance } If that is wrong, send /claim.

## Language

language-which = Which language would you like?
language-telegram = As in Telegram
language-chosen = I will speak English from now on.

## Erasing data

erase-explain = <b>Erase your data?</b>

    Erased: your username and language; the names, e-mail addresses and notes of your payments; the name you told us in /claim; messages still to be sent.

    Kept: your Telegram ID, and the amounts, times and codes of your payments with the entries of your credits. These are the accounts: without them a refund could not be traced, and a payment might be counted twice. The details of a payment that waits for an operator are kept until it is decided. If you pay again, your name, address and note come here again.
erase-open-payments = { $count ->
    [one] Your open payment will be cancelled. If you have paid with its code,
   *[other] Your { $count } open payments will be cancelled. If you have paid with their code,
} the credits still arrive.
erase-open-claim = Your open claim is withdrawn, and operators stop looking for that payment.
erase-balance = Your balance of { $balance } is kept in case you come back.
erase-sure = We send you nothing more until you write again.
erase-no = No, keep everything
erase-yes = Yes, erase my data
erase-kept = Good. Everything stays as it was.
erased = Done: everything listed is erased, and we will send you nothing more. To come back, send /start

## Notifications to users

payment-credited = <b>Thank you!</b> { $amount } arrived: <b>+{ $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}</b>{ $rate }.{ $balance }
credited-differs = You picked { $picked }; the credits are for the amount that arrived.
credited-late = That code had been closed, but your payment is credited all the same.
credited-second = This code had been used before, so this is a second payment. You got credits for both.
credited-corrected = There was a small slip in the code, but I recognised it.
credited-guessed = The note held no code, so we found you by amount and time. Not your payment? Please tell us with the button below.
not-mine-button = Not mine
not-mine-done = Thank you for telling us. We took <b>{ $credits }</b> back.{ $balance } An operator will look for the person who paid { $amount }.

    Would you still like to give { $amount }? Press the button below or send /pay, and you get a new code.
not-mine-decided-before = Nothing was changed: this payment was already taken back or refunded. /history shows it.
not-mine-too-late = Nothing was changed: more than 30 days have passed. If this payment is not yours, please tell the page’s owner.
payment-under-review = Your { $amount } arrived and is under review: an operator decides. You do not have to do anything, and you will hear from us here.
payment-under-review-bare = Your payment arrived and is under review: an operator decides. You do not have to do anything, and you will hear from us here.
payment-refunded-in-part = Part of your payment, { $amount }, was refunded, so the credits for that part were taken back.{ $balance }
payment-refunded = Your payment of { $amount } was refunded, so its credits were taken back.{ $balance }
payment-expired = No payment of { $amount } with the code <code>{ $code }</code> arrived in time, so the code has been closed. Paid with this code? Your credits still arrive. Paid without it? Send /claim. Otherwise send /pay whenever you like.
