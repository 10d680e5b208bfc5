# Texts for operators in English. Values are already escaped; <b>, <i>, <code> and <blockquote> are Telegram's HTML.

## Commands, as Telegram lists them to operators

command-desk = The operator’s desk
command-waiting = Everything that waits, in one message
command-unmatched = Payments without a user
command-pending = Open payments
command-claims = Claims: paid, but no credits came
command-find = Find by code, name, ID or e-mail
command-payment = The whole history of a code
command-stats = Today, 7 and 30 days
command-credit = Add or take credits
command-undo = Take back a match or an adjustment
command-part = Only a part of a payment was refunded
command-outsiders = Remembered as not our users
command-replay = How today’s rules would decide
command-failed = Events that could not be settled
command-guesses = Payments found by amount and time
command-export = Charges, credits and decisions as CSV
command-reconcile = Compare with Buy Me a Coffee’s own list
command-doctor = The state of the system

desk-overview = <b>The operator’s desk</b>

    <b>Waiting</b>
    /waiting – everything that waits, with buttons
    /unmatched – payments without a user
    /pending – open payments
    /claims – users who paid, but got no credits
    /failed – events that could not be settled or read

    <b>Worth a check</b>
    /guesses – payments found by amount and time, without a code
    /outsiders – who is remembered as not one of our users

    <b>Look</b>
    /find <i>code, part of a name, Telegram ID, transaction or e-mail</i>
    /payment <i>code</i> – its whole history
    /stats – today, 7 and 30 days
    /doctor – the state of the system, and advice

    <b>Change</b>
    /credit <i>@name +50 reason</i>
    /undo <i>payment number, or @name</i> – asks for the reason
    /part <i>payment number</i> – only a part was refunded
    /cancel – leaves the bot’s questions to you unanswered

    <b>Check and export</b>
    /replay <i>payment number, or 2026-11-21</i> – changes nothing
    /export <i>2026-11</i> – three CSV files
    /reconcile – compares with Buy Me a Coffee’s own list

    A list opens at any page: <code>/unmatched 2</code>. Every decision is recorded with your name and your reason. Before credits change, the bot shows the result.

## A payment

desk-charge-waits = <b>A payment waits for you</b>
desk-charge = <b>Payment</b>
desk-charge-what = #{ $number }: <b>{ $amount }</b> ({ $family }), { $time }
desk-charge-later = ⏰ Later: reminder at { $time }
desk-charge-key = Charge: <code>{ $charge }</code>
desk-charge-from = From: { $name }
desk-charge-note = <blockquote>{ $note }</blockquote>
desk-charge-no-note = No note.
desk-charge-why = Why no rule decided:
desk-charge-held = A match was taken back: no rule decides this one any more.
desk-charge-level = Level: { $item }
desk-charge-item = Item: { $item }
desk-charge-part-refunded = { $amount } of it was refunded.
desk-charge-only-a-person = Only a person may match it.
desk-charge-no-amount = Its amount is not known, so it cannot be matched. Look on Buy Me a Coffee, add the credits with <code>/credit</code>, then dismiss it.
desk-charge-guess = 🔸 A guess: found by amount and time, without a code.
desk-charge-flag = { $flag }
desk-number = #{ $number }
desk-doubt-status = ⚠️ Buy Me a Coffee calls it “{ $told }”. We do not know whether that means paid.
desk-doubt-amount = ⚠️ Its amount could not be read: “{ $told }”.
desk-doubt-period = ⚠️ It is for a subscription but names no period, so a repeat of it could not be recognised.
desk-doubt-identity = ⚠️ It has neither a transaction id nor a number, so a repeat of it could not be recognised.
desk-doubt-conflict = ⚠️ Payment { $other } has the same transaction id under another number. Compare both on Buy Me a Coffee.
desk-doubt-announced_twice = ⚠️ It looks like payment { $other }, announced a second time, for example once as support and once as a subscription. If it is the same money, dismiss it.
desk-doubt-listed_only = ⚠️ No webhook came for it; it was found in Buy Me a Coffee’s own list. The list is weaker evidence, so it is not credited automatically.
desk-doubt-unknown = ⚠️ { $doubt }: { $told }
desk-dismissed-by-memory = ⚪ Dismissed automatically: remembered as not from one of our users.
desk-remembered-supporter = Remembered: this supporter is not one of our users. Their other payments are dismissed without a card, unless they carry a valid code.
desk-remembered-subscription = Remembered: this subscription is not from one of our users. Its other payments are dismissed without a card, unless they carry a valid code.
desk-remembered-level = Remembered: anyone at level “{ $item }”. Other payments at this level are dismissed without a card, unless they carry a valid code.
desk-remembered-item = Remembered: anyone who pays for “{ $item }”. Other payments for it are dismissed without a card, unless they carry a valid code.
desk-undo-ends-memory = “Take back” ends this, too.
desk-more = { $count ->
    [one] … and { $count } more
   *[other] … and { $count } more
}
desk-family-donation = support
desk-family-extra_purchase = Shop
desk-family-commission_order = commission
desk-family-wishlist_payment = wishlist
desk-family-recurring_donation = monthly support
desk-family-membership = membership
desk-matched-to = ✅ Matched to { $user }: { $credits }. Decided by: { $rule }.
desk-refunded-to = ↩️ Refunded. It was matched to { $user }; { $credits } left.
desk-state-unmatched = ⏳ Waits for an operator.
desk-state-dismissed = ⚪ Dismissed: meant for no user.
desk-state-refunded = ↩️ Refunded. No user had been credited.
desk-state-matched = ✅ Matched.
desk-flag-late = The code had been closed by then.
desk-flag-second_charge = The code was paid twice.
desk-decided-by = { $operator }, { $time }: { $action }. “{ $reason }”
desk-action-match = matched it
desk-action-dismiss = dismissed it
desk-action-undo_match = took the decision back
desk-action-refund_part = recorded a partial refund
desk-action-credit = changed the balance
desk-action-undo_adjustment = took an adjustment back
desk-action-decline_claim = declined the claim
desk-action-retry = had an event settled again
desk-action-dismiss_event = dismissed an event
desk-word-matched = matched
desk-word-unmatched = waits
desk-word-dismissed = dismissed
desk-word-refunded = refunded
desk-status-pending = open
desk-status-completed = paid
desk-status-expired = expired
desk-status-cancelled = cancelled

## The buttons of a payment

desk-pick-payment = { $user } · { $code } · { $amount }
desk-pick-user = { $user }, known supporter
desk-pick-mentioned = { $user }, named in the text
desk-find-button = 🔎 Find the user
desk-preset-supporter = Just a supporter
desk-preset-gift = A gift
desk-dismiss-button = Other…
desk-presets-supporter = <i>“Just a supporter” remembers the supporter: their other payments without a valid code are dismissed, too. “A gift” remembers nothing.</i>
desk-presets-subscription = <i>“Just a supporter” remembers the subscription: its other payments without a valid code are dismissed, too. “A gift” remembers nothing.</i>
desk-presets-nothing = <i>“Just a supporter” and “A gift” dismiss only this payment: it does not say who the supporter is.</i>
desk-later-button = Later
desk-later-hour = In 1 h
desk-later-hours = In 3 h
desk-later-morning = Tomorrow morning
desk-later-never = No reminder
desk-suggest-open = { $user } · picked { $amount } that day
desk-suggest-name = { $user } · paid under this name
desk-suggest-claim = { $user } · claims { $amount }
desk-any-level-button = Anyone at level “{ $item }”
desk-any-item-button = Anyone who pays for “{ $item }”
desk-part-button = Reverse a part
desk-only-part-button = Only a part was refunded
desk-undo-button = Take back
desk-open-button = #{ $number } · { $amount }
desk-back = ‹ Back
desk-no = No, leave it
desk-page-back = « Back
desk-page-forth = More »

## Decisions

desk-confirm-match = <b>Credit this payment?</b> #{ $number }, { $amount }
desk-confirm-user = To { $user }, here since { $since }
desk-confirm-payment = For code <code>{ $code }</code>: picked { $amount }, { $status }
desk-confirm-balance = { $credits }; balance { $before } → <b>{ $after }</b>
desk-confirm-yes = { $credits ->
    [one] Yes, credit { $credits }
   *[other] Yes, credit { $credits }
}
desk-matched-short = Credited: { $user }, +{ $credits }.
desk-dismissed-short = Dismissed: #{ $number }.
desk-dismissed = Dismissed: #{ $number }. Take it back with /undo { $number }.
desk-later-set = I will show it to you again, unless it is decided by then. The card shows the time.
desk-later-cancelled = You will get no reminder.
desk-chosen-payment = code { $code }
desk-chosen-user = user { $user }
desk-reason-failed = event { $number }
desk-ask-who = <b>Whose payment is #{ $number }?</b>
    Write a code, a Telegram ID, or a part of their @name or of their name on Buy Me a Coffee.
desk-ask-who-suggested = <b>Whose payment is #{ $number }?</b>
    Choose below, or write a code, a Telegram ID, or a part of their @name or of their name on Buy Me a Coffee.
desk-who-unknown = There is no such user here: they must write to the bot first. Whose payment is #{ $number }? Write again, or send /cancel.
desk-who-several = <b>Several people fit. Whose payment is #{ $number }?</b>
desk-which = <b>Which question does this answer?</b>
    <blockquote>{ $said }</blockquote>
desk-which-chosen = { $question }
    <blockquote>{ $said }</blockquote>
desk-which-none = None of them
desk-which-claim = Then send it once more, please: I will take it as the answer about your own payment.
desk-question-who = Whose payment is #{ $number }?
desk-question-dismiss = Why dismiss #{ $number }?
desk-question-undocharge = Why take back #{ $number }?
desk-question-undoentry = Why take back entry { $number }?
desk-question-decline = Why decline claim #{ $number }?
desk-question-dismissevent = Why dismiss event #{ $number }?
desk-question-howmuch = How much of #{ $number } was refunded?
desk-question-claim = About my own payment
desk-question-gone = That question was answered or cancelled meanwhile. You can still reply to it.
desk-questions-cancelled = Left unanswered, and nothing was changed:
    { $questions }
desk-ask-why-dismiss = <b>Why dismiss #{ $number }?</b>
    Write a few words. They dismiss only this payment, and only operators see them.
desk-ask-why-dismiss-or-item = <b>Why dismiss #{ $number }?</b>
    Write a few words to dismiss only this payment, or press the button to dismiss all payments of this kind. Only operators see your answer.
desk-reason-dismiss-all = one of the ordinary supporters in a summary
desk-reason-undo-all = all dismissals of a summary are taken back
desk-dismissed-all = { $count ->
    [one] Dismissed { $count } payment
   *[other] Dismissed { $count } payments
}: { $numbers }. Nothing was remembered about the supporters.
desk-dismissed-none = No payment was dismissed.
desk-undo-all-button = Take all back
desk-undone-all = ↩️ { $count ->
    [one] { $count } payment waits again
   *[other] { $count } payments wait again
}: { $numbers }
desk-undone-none = Nothing was taken back.
desk-skipped = • #{ $number } stays as it is: { $why }.
desk-skipped-decided = it was decided meanwhile
desk-skipped-doubt = it is doubtful now
desk-skipped-code = its note holds a code now
desk-skipped-candidate = it may belong to a user now
desk-skipped-claim = a claim may be about it
desk-ask-how-much = <b>How much of #{ $number } was refunded?</b>
    Write the amount: more than zero and less than { $amount }.
desk-part-unreadable = <b>That is not a part of { $amount }.</b> How much of #{ $number } was refunded? Write the amount, such as <code>7.50</code>, in the currency of the payment.
desk-confirm-part = <b>Reverse a part of #{ $number }?</b>
desk-part-reason = <blockquote>{ $part } of { $amount } was refunded</blockquote>
desk-part-user = User: { $user }
desk-part-yes = Yes, { $part } was refunded
desk-part-done = ↩️ #{ $number }, { $user }: { $credits }. The balance is { $balance }.
desk-part-noted = ↩️ #{ $number }: noted. The payment has no user yet; when you match it, its user gets that much less.
desk-ask-why-undo-charge = <b>Why take back the decision on #{ $number }?</b>
    Write a few words. The user reads them in /history.
desk-ask-why-undo-entry = <b>Why take back entry { $number }?</b>
    Write a few words. The user reads them in /history.
desk-ask-why-decline = <b>Why decline the claim of { $user }?</b>
    Write a few words. Only operators see them; the user gets a kind message that nothing was found.
desk-ask-why-aside = <b>Why dismiss event #{ $number }?</b>
    Write a few words. Only operators see them. No balance changes, and the event can no longer be settled.
desk-placeholder-dismissevent = Why is there nothing to do?
desk-placeholder-who = Code, name or Telegram ID
desk-placeholder-howmuch = The refunded amount
desk-placeholder-dismiss = Why is it for no user?
desk-placeholder-undocharge = Why is it taken back?
desk-placeholder-undoentry = Why is it taken back?
desk-placeholder-decline = Why is it declined?

## Refusals

desk-refused-other-first = { $operator } was first. Here is how it stands now.
desk-refused-event-decided = { $operator } was first: this event is decided. /failed shows the rest.
desk-refused-rule-first = It has been settled meanwhile, by a rule or by the user. Here is how it stands now.
desk-refused-unknown_charge = There is no such payment.
desk-refused-unknown_user = There is no such user here: they must write to the bot first.
desk-refused-unknown_claim = There is no such claim.
desk-refused-unknown_event = That event is not on the list: it was settled, or another operator pressed first.
desk-refused-no_rate = This currency has no rate. Add one to CREDITS_PER_UNIT and restart, then decide.
desk-refused-nothing_to_undo = There is nothing to take back here.
desk-refused-no_part = That is not a part of the paid amount. To take everything back, press “Take back”.
desk-refused-not_refundable = This payment cannot be reversed in part: it is dismissed, was not paid, or its amount is not known.
desk-refused-nothing_to_remember = This payment names nothing that could be remembered. Choose “A gift”.
desk-refused-undone_before = It was taken back before.
desk-refused-offer-taken = { $operator } was first: these payments are decided.
desk-refused-unknown_offer = This list is too old. /waiting shows a new one.
desk-refused-undo_too_late = That was more than a day ago. Take back each payment by itself: /undo and its number.
desk-refused-repeated = Done already: a second press changes nothing.
desk-refused-charge-gone = That payment no longer waits. Here is how it stands now.
desk-too-old = Telegram no longer has this message. Please ask again.

## Claims

desk-claim = <b>Paid, but no credits came</b>
    { $user } says: { $amount }, on { $day }.
desk-claim-name = Paid as: { $name }
desk-claim-no-name = They gave no name.
desk-claim-raised = Raised { $time }.
desk-claim-declined-before = Declined before: { $count }, the last on { $day }.
desk-claim-candidates = Waiting payments that may match:
desk-claim-no-candidates = No waiting payment is similar. Look with /find, or decline; if the payment comes later, it appears in /unmatched.
desk-claim-charge = • #{ $number }: { $amount }, { $time }, { $name } ({ $fits })
desk-claim-guessed = Or a rule credited it to another user, without the whole code:
desk-claim-guess = • #{ $number }: { $amount }, { $time }, credited to { $user } by: { $rule }. If this is the payment: <code>/undo { $number }</code>
desk-claim-dismissed-too = Or an operator dismissed it:
desk-claim-dismissed-charge = • #{ $number }: { $amount }, { $time }, { $name }. If this is the payment: <code>/undo { $number }</code>
desk-fit-amount = sum
desk-fit-day = day
desk-fit-name = name
desk-claim-credit = ✓ #{ $number }: credit { $credits } to { $user }
desk-claim-pick = #{ $number } for { $user }?
desk-decline-button = None of these
desk-declined = Declined. The user is told.
desk-claim-confirmed = ✅ It was payment #{ $charge }. { $operator }
desk-claim-declined = ⚪ Declined by { $operator }.
desk-claim-withdrawn = ⚪ Withdrawn by the user.

## The comparison with Buy Me a Coffee’s own lists

desk-lists-title = <b>Buy Me a Coffee’s own list</b>
desk-lists-off = <b>Buy Me a Coffee’s own list is not compared.</b> To find payments whose webhook never came, set BMC_API_TOKEN in .env and run docker compose up -d. See docs/reconciliation.md
desk-lists-reading = ⏳ Reading Buy Me a Coffee’s own list …
desk-lists-slow = <b>Buy Me a Coffee’s own list</b> is still being read. This is the state so far; send /reconcile again in a minute.
desk-list-supporters = Supporters
desk-list-subscriptions = Subscriptions
desk-list-extras = Shop
desk-list-state-page = ✅ { $list }: read { $ago } ago.
desk-list-state-empty = ✅ { $list }: empty, read { $ago } ago.
desk-list-stale = 🟡 { $list }: last read { $ago } ago. Check that BMC_API_TOKEN is set and the janitor runs: docker compose ps janitor
desk-list-state-failed = 🔴 { $list }: could not be read { $ago } ago. { $remedy }
desk-list-remedy-token_refused = Buy Me a Coffee refuses the token. Make a new one on https://developers.buymeacoffee.com, write it into BMC_API_TOKEN, and run docker compose up -d
desk-list-remedy-blocked = Cloudflare, in front of Buy Me a Coffee, blocks this machine. Nothing here can change that; webhooks still work.
desk-list-remedy-throttled = Too many requests. It goes on by itself in a few minutes.
desk-list-remedy-unreachable = Buy Me a Coffee does not answer. It goes on by itself; if it lasts, check this machine’s way to the internet.
desk-list-remedy-changed = Buy Me a Coffee answers in an unknown form. Look for a new version of Coffee Ledger.
desk-lists-agree = Every payment in the list is known here, and every payment here is in the list.
desk-lists-missing = <b>In the list, but no webhook yet</b> – it gets 15 minutes:
desk-lists-missing-row = • { $amount } ({ $list }), seen { $ago } ago
desk-lists-found = <b>Found in the list, without a webhook</b>, the newest first:
desk-lists-found-row = • #{ $number }: { $amount }, { $time } – { $became }
desk-lists-found-row-of = • #{ $number }: { $amount }, { $time } – { $became }: { $user }
desk-lists-found-event = • Event #{ $number } – { $became }
desk-lists-unlisted = <b>Not in the list, although a webhook came</b> – somebody may know your signing secret:
desk-lists-unlisted-row = • #{ $number }: { $amount }, { $time }
desk-lists-unlisted-row-of = • #{ $number }: { $amount }, { $time }, { $user }. If it does not exist: <code>/undo { $number }</code>

## Lists

desk-unmatched-title = <b>{ $total ->
    [one] { $total } payment waits
   *[other] { $total } payments wait
}</b> · page { $page } of { $pages }
desk-unmatched-none = No payment waits. When one does, you get a message.
desk-pending-title = <b>{ $total ->
    [one] { $total } open payment
   *[other] { $total } open payments
}</b> · page { $page } of { $pages }
desk-pending-none = There are no open payments. An amount that a user picks appears here until it is paid.
desk-claims-title = <b>{ $total ->
    [one] { $total } claim is open
   *[other] { $total } claims are open
}</b> · page { $page } of { $pages }
desk-claims-none = There are no open claims. When a user makes one, you get a message.
desk-claims-line = #{ $number } · <b>{ $amount }</b>, { $day } · { $user } · asked { $time }
desk-claims-button = Open claim #{ $number }
desk-failed-title = <b>{ $total ->
    [one] { $total } event changed nothing
   *[other] { $total } events changed nothing
}</b> · page { $page } of { $pages }
    Fix the cause, usually with a newer version, then settle the events here. Dismiss an event if it can never be read, or if you credited it by hand.
desk-failed-none = Every event was settled or dismissed.
desk-failed-line = #{ $number } · { $type } · <b>{ $amount }</b> · { $time } · { $became }
desk-failed-cause = └ { $cause }
desk-failed-no-amount = amount unknown
desk-cause-no_json = Its content is no valid JSON, or was cut off.
desk-cause-row_unreadable = It is a row of Buy Me a Coffee’s list whose number or amount cannot be read.
desk-cause-no_type = Its type is missing.
desk-cause-no_data = Its data are missing.
desk-cause-refused = The database refused it. For the reason see: docker compose logs webhook
desk-cause-readable = Its form is valid. This version can probably read it: settle it again.
desk-failed-button = Settle #{ $number } again
desk-aside-button = Dismiss #{ $number }
desk-confirm-failed = <b>Settle event #{ $number } again?</b> Today’s rules decide it as if it came now. If you credited it by hand, take that back first (/undo), or the user gets the credits twice.
desk-failed-yes = Yes, settle it
desk-aside = Event #{ $number } is dismissed: the bot no longer asks about it, and it can no longer be settled.
desk-failed-wanted = It is being settled. You will be told the result.
became-credited = credited
became-unmatched = waits for an operator: /unmatched
became-refunded = refunded
became-recorded = recorded; it moves no credits
became-duplicate = settled earlier, when it came again
became-test = a test
became-unknown = of an unknown kind
became-legacy = in the old format
became-unreadable = could not be read
became-failed = could not be settled
became-wanted = is being settled
desk-guesses-title = <b>{ $total ->
    [one] { $total } payment was found by amount and time
   *[other] { $total } payments were found by amount and time
}</b> · page { $page } of { $pages }
desk-guesses-none = No payment has been found by amount and time. You get a silent message about each one.
desk-guesses-line = #{ $number } · <b>{ $amount }</b> · { $user } · { $time } · { $state }
desk-outsiders-title = <b>{ $total ->
    [one] { $total } outsider is remembered
   *[other] { $total } outsiders are remembered
}</b> · page { $page } of { $pages }
    Their payments are dismissed without a card, unless they carry a valid code. To end this, open the payment and press “Take back”.
desk-outsiders-none = No outsider is remembered.
desk-outsiders-line = #{ $number } · { $kind }: { $name } · since { $time }
desk-outsider-supporter = supporter
desk-outsider-subscription = subscription
desk-outsider-item = item
desk-guess-stands = stands
desk-guess-taken-back = taken back { $time }
desk-line-note = <i>“{ $note }”</i>
desk-charge-line = #{ $number } · <b>{ $amount }</b> · { $time } · { $name } · { $state }
desk-payment-line = <code>{ $code }</code> · <b>{ $amount }</b> · { $user } · { $time } · { $status }

## Finding

desk-find-how = Add a code, a part of a name, an ID, a transaction or an e-mail: <code>/find K7QM-2XHD</code>, <code>/find @anna</code>, <code>/find 1000001</code>, <code>/find pi_3Abc</code>, <code>/find Anna</code> (a part of an @name, or of a name on Buy Me a Coffee) or <code>/find anna@example.org</code>
desk-found-nothing = Nothing found. A part of a name is enough, but codes, numbers and addresses must be complete.
desk-found-more = There are more: write more of the name.
desk-found-nobody = No user has that name here: they must write to the bot first.
desk-user = <b>{ $user }</b>: { $credits }, here since { $since }, speaks { $language }
desk-user-erased = Asked to have their data erased on { $time }.
desk-user-unreachable = Cannot be reached since { $time }: blocked the bot, or left Telegram.
desk-email = { $email }
desk-payment-how = Which code? <code>/payment K7QM-2XHD</code>
desk-payment-unknown = No payment has this code.
desk-life-opened = { $time } opened
desk-life-ended = { $time } { $status }
desk-life-charge = { $time } charge #{ $number }, { $amount } (<code>{ $charge }</code>), by: { $rule }
desk-life-no-charge = No payment has arrived with this code.
desk-life-entry = { $time } <b>{ $credits }</b> ({ $kind }) to <code>{ $user }</code>, entry c{ $number }
desk-life-told = { $time } told: { $kind }, { $status }
desk-entry-payment = payment
desk-entry-refund = refund
desk-entry-reversal = taken back
desk-entry-spend = spending
desk-entry-adjustment = adjustment
desk-sent-pending = on its way
desk-sent-sent = sent
desk-sent-unreachable = could not be reached
desk-sent-withheld = withheld
desk-sent-dead = given up
desk-sent-addressed = passed on
desk-sent-folded = counted in the summary
desk-kind-payment_credited = credited
desk-kind-payment_refunded = refunded
desk-kind-payment_under_review = under review
desk-kind-payment_expired = expired
desk-kind-credits_adjusted = balance changed
desk-kind-claim_declined = claim declined
desk-kind-claim_looked_up = looked up in Buy Me a Coffee’s list
desk-kind-charge_unmatched = a payment waits
desk-kind-charge_flagged = a code was paid twice
desk-kind-code_came_late = a code came late
desk-kind-refund_overdrawn = balance below zero
desk-kind-charge_guessed = found by amount and time
desk-kind-charge_refunded = a payment was refunded
desk-kind-charge_contradicted = a later event contradicts it
desk-kind-charge_not_listed = not in Buy Me a Coffee’s list
desk-kind-refund_unknown = a refund without a payment
desk-kind-guess_disowned = “not mine”
desk-kind-claim_raised = a claim
desk-kind-signature_failures = wrong signatures
desk-kind-test_event = a test event
desk-kind-event_unreadable = an unreadable event
desk-kind-event_unknown = an event of an unknown kind
desk-kind-event_retried = an event was settled again
desk-kind-legacy_webhook = an event in the old format
desk-kind-waiting_summary = a summary

## Changing a balance

desk-credit-how = Add the user, the credits and the reason: <code>/credit @anna +50 for the translation</code>
    A minus takes credits; write the number without spaces: +1000. The user is notified, and reads the reason in /history.
desk-credit-several = Several people have had this name. Use the Telegram ID; /find shows it.
desk-confirm-credit = { $sign ->
    [plus] <b>Add { $credits } to { $user }?</b>
   *[minus] <b>Take { $credits } from { $user }?</b>
}
    Balance { $before } → <b>{ $after }</b>. They read in /history:
    <blockquote>{ $reason }</blockquote>
desk-adjust-yes = Yes, { $credits }
desk-adjusted = ✅ { $user }: { $credits }. The balance is { $balance }.
desk-left = Left as it was.
desk-undo-how = Add what to take back: <code>/undo 7</code> for payment #7, <code>/undo c12</code> for entry 12, or <code>/undo @anna</code> to choose.
desk-refund-how = Add the payment of which a part was refunded: <code>/part 7</code> for payment #7.
desk-undo-unknown = There is no such payment or entry. <code>/undo 7</code> takes back payment #7, <code>/undo @anna</code> lets you choose.
desk-undo-which = <b>What should be taken back? User: { $user }</b>
desk-undo-charge = Payment #{ $number }, { $amount }, { $time }. It will wait for an operator again.
desk-undo-charge-button = Payment #{ $number } · { $amount }
desk-undo-entry-button = Entry c{ $number } · { $credits }
desk-entry = c{ $number }: <b>{ $credits }</b> to { $user }, { $time }. “{ $cause }”
desk-confirm-undo = <b>Take this back?</b> Your reason:
    <blockquote>{ $reason }</blockquote>
desk-undo-yes = Yes, take it back
desk-undone = ↩️ Taken back: { $user }, { $credits }. The balance is { $balance }.
desk-undone-waits = ↩️ Payment #{ $number } waits for an operator again: /unmatched

## Statistics

desk-stats-period = <b>{ $period ->
    [today] Today
    [week] 7 days
   *[month] 30 days
}</b>: { $charges ->
    [one] { $charges } payment
   *[other] { $charges } payments
}
desk-stats-sums = Paid: { $sums }
desk-stats-credits = Credits booked: { $credits }
desk-stats-methods = Matched by: { $methods }
desk-stats-unmatched = Waiting: { $count } ({ $share })
desk-stats-refunded = Refunded: { $count }
desk-stats-nothing = nothing yet
desk-chart-title = Payments a day, last 30 days (UTC)
desk-chart-settled = settled
desk-chart-waiting = waiting for an operator
desk-chart-missing = The chart could not be drawn; the numbers are right.

## Exporting

desk-export-how = For which period? <code>/export 2026-11</code>, <code>/export 2026-11-21</code> or <code>/export 2026-11-01 2026-11-15</code> (both days included, UTC).
desk-export-charges = Charges, { $period }: { $rows ->
    [one] { $rows } row
   *[other] { $rows } rows
}
desk-export-credits = Credits, { $period }: { $rows ->
    [one] { $rows } row
   *[other] { $rows } rows
}
desk-export-actions = Decisions of operators, { $period }: { $rows ->
    [one] { $rows } row
   *[other] { $rows } rows
}
desk-export-cut = The file has only the first { $rows } rows: choose a shorter period.

## Replaying

desk-replay-how = What should be replayed? <code>/replay 7</code> for payment #7, <code>/replay 2026-11-21</code>, or <code>/replay 2026-11</code>. It changes nothing.
desk-replay-title = <b>Dry run</b>, nothing was changed: { $total ->
    [one] { $total } payment
   *[other] { $total } payments
}, { $differing } decided otherwise.
desk-replay-none = There is no event from that time, or its content was deleted after the retention period.
desk-replay-same = • #{ $number }, { $amount }: as then, { $then }
desk-replay-other = • <b>#{ $number }</b>, { $amount }: then { $then }; now { $now }
desk-replay-to = { $rule } → { $user }
desk-replay-unmatched = waiting for an operator
desk-replay-dismissed = dismissed
desk-replay-why = — { $reasons }
desk-replay-cut = Only the first { $count } are shown: choose a shorter period.

## The doctor

desk-doctor-steps = <b>First steps: { $done } of { $all } done</b>
desk-doctor-title = <b>The state of the system</b>
desk-doctor-document = docs/{ $file }, “{ $heading }”
desk-doctor-webhook-never = 🔴 Buy Me a Coffee has never reached us. Press “Send test” on https://studio.buymeacoffee.com/webhooks. If nothing comes, compare the address there with https://{ $host }/bmc-webhook
desk-doctor-webhook-tested = ✅ Last event { $ago } ago ({ $became }); { $count } in 7 days.
desk-doctor-webhook-quiet = 🟡 Last event { $ago } ago. If anyone has paid since, check whether the webhook is switched off: https://studio.buymeacoffee.com/webhooks
desk-doctor-secret-untested = 🟡 No delivery has confirmed the signing secret yet. Press “Send test” on https://studio.buymeacoffee.com/webhooks
desk-doctor-secret-one = ✅ Signed with secret no. { $numbers }; no wrong signatures in 24 hours.
desk-doctor-secret-several = 🟡 Signed with several secrets in 7 days: no. { $numbers }. Once the old one is unused, remove it from BMC_WEBHOOK_SECRETS.
desk-doctor-secret-none = 🟡 The events of the last 7 days do not show which secret signed them. Press “Send test” on https://studio.buymeacoffee.com/webhooks
desk-doctor-forged = 🔴 { $count ->
    [one] { $count } request in 24 hours fits no secret
   *[other] { $count } requests in 24 hours fit no secret
}, the last { $ago } ago. Was the secret changed on Buy Me a Coffee? Write the new one beside the old one into BMC_WEBHOOK_SECRETS, run docker compose up -d, and press “Send test” on https://studio.buymeacoffee.com/webhooks
desk-doctor-forged-before = 🟡 { $count ->
    [one] { $count } request in 24 hours fits no secret
   *[other] { $count } requests in 24 hours fit no secret
}, the last { $ago } ago. A newer delivery fits, so the secret is correct now.
desk-doctor-forged-none = ✅ No wrong signatures in 24 hours.
desk-doctor-backup = ✅ Last backup { $ago } ago.
desk-doctor-backup-old = 🟡 The last backup is { $ago } old. What to do: { $document }
desk-doctor-backup-none = 🟡 There is no backup. Run db/backup.sh FOLDER and let cron run it each day: { $document }
desk-doctor-operators = ✅ Every operator can be reached.
desk-doctor-operators-away = 🟡 These operators cannot be reached: { $operators }. They should press Start in this chat{ $address ->
    [none] .
   *[other] : { $address }
}
desk-doctor-app = ✅ The Mini App opens from the button beside the message field and by links such as { $example }
desk-doctor-app-nowhere = 🔴 Telegram cannot open the Mini App, because PUBLIC_HOST is not a public name. Correct it in .env and run docker compose up -d
desk-doctor-app-unknown = 🟡 Telegram did not say whether the Mini App is set up. Ask again in a minute.
desk-doctor-app-no-button = 🟡 The button beside the message field does not open the Mini App. The bot sets the button when it starts: docker compose restart bot
desk-doctor-app-no-link = 🟡 Links such as { $example } do not open the Mini App yet. Send /mybots to @BotFather and choose your bot, Bot Settings, Configure Mini App, Enable Mini App. The address is { $address }
desk-doctor-alerts = ✅ Alerts are switched on.
desk-doctor-alerts-off = 🟡 Alerts are switched off. Create a second bot with @BotFather, set ALERTS_BOT_TOKEN and ALERTS_CHAT_ID, and run docker compose up -d: { $document }
desk-doctor-refused = 🔴 { $count ->
    [one] { $count } delivery was refused in a row
   *[other] { $count } deliveries were refused in a row
}, the last { $ago } ago. After more than ten Buy Me a Coffee switches the webhook off. What to do: { $document }
desk-doctor-failed = 🔴 { $count ->
    [one] { $count } event of the last 7 days could not be settled or read. It is kept: /failed
   *[other] { $count } events of the last 7 days could not be settled or read. They are kept: /failed
}
desk-doctor-owed-none = ✅ Every message is delivered.
desk-doctor-owed = ✅ { $count ->
    [one] { $count } message on its way
   *[other] { $count } messages on their way
}, the oldest { $ago }.
desk-doctor-owed-long = 🔴 { $count ->
    [one] { $count } message is due
   *[other] { $count } messages are due
}, the oldest since { $ago }. See docker compose logs bot
desk-doctor-dead = 🟡 { $count ->
    [one] { $count } message was given up
   *[other] { $count } messages were given up
}. What to do: { $document }
desk-doctor-clock = ✅ Clocks agree (database { $database } s, Telegram { $telegram } s).
desk-doctor-clock-off = 🔴 Clocks differ: database { $database } s, Telegram { $telegram } s. Set this machine’s clock (timedatectl).
desk-doctor-clock-partly = 🟡 Database clock { $database } s; Telegram did not give the time. Ask again in a minute; if it stays so, check whether this machine reaches TELEGRAM_API_URL.
desk-doctor-unmatched-none = ✅ No payment waits for an operator.
desk-doctor-unmatched = 🟡 { $count ->
    [one] { $count } payment waits for an operator
   *[other] { $count } payments wait for an operator
}: /unmatched
desk-doctor-claims = 🟡 { $count ->
    [one] { $count } claim is open
   *[other] { $count } claims are open
}: /claims
desk-doctor-drift-none = ✅ Balances agree with the ledger.
desk-doctor-drift = 🔴 Balances differ from the ledger, by { $count } in all. What to do: { $document }
desk-doctor-lists = ✅ Compared with Buy Me a Coffee’s own list { $ago } ago: /reconcile
desk-doctor-lists-off = ⚪ Not compared with Buy Me a Coffee’s own list. To find payments whose webhook never came, set BMC_API_TOKEN: { $document }
desk-doctor-lists-stale = 🟡 Last compared with Buy Me a Coffee’s own list { $ago } ago. Check that BMC_API_TOKEN is set and the janitor runs: docker compose ps janitor
desk-doctor-lists-failed = 🟡 Buy Me a Coffee’s own list cannot be read. { $remedy }
desk-doctor-unlisted = 🔴 { $count ->
    [one] { $count } payment is
   *[other] { $count } payments are
} not in Buy Me a Coffee’s own list: /reconcile
desk-doctor-zone = 🟡 The times in Buy Me a Coffee’s list seem to be in another time zone than UTC. Payments found there show these times.
desk-doctor-versions = ⚪ Version { $version } ({ $revision }), Python { $python }, Postgres { $postgres }, aiogram { $aiogram }
desk-ago = { $unit ->
    [seconds] { $count } s
    [minutes] { $count } min
    [hours] { $count } h
   *[days] { $count } d
}

## Notifications to operators

charge-unmatched = <b>A payment waits for you</b>: { $amount } ({ $family }), { $time }
    Charge: <code>{ $charge }</code>

    It could not be matched to a user:
charge-about = { $amount } ({ $family }), { $time }
    Charge: <code>{ $charge }</code>
charge-guessed = <b>A payment was credited by amount and time.</b> It carried no code. If it is another user’s, take it back.
charge-refunded = <b>A payment was refunded</b>, and all its credits were taken back. Buy Me a Coffee usually names the full amount even if only a part was refunded: if so, press the button below.
charge-contradicted = <b>A later event contradicts our data.</b> Nothing was changed: compare the payment on Buy Me a Coffee and decide.
contradicted-amount = We have { $known }; the later event says { $told }.
contradicted-status = We have { $known } as paid; the later event says “{ $status }”.
contradicted-refund = We have a payment of { $known }; the refund is of { $told }.
charge-not-listed = <b>Not in Buy Me a Coffee’s list.</b> A webhook reported this payment more than a day ago, but Buy Me a Coffee’s own list does not contain it. Look for it there. If it does not exist, somebody knows your signing secret: change the secret, and take back the credits.
refund-unknown = <b>A refund came that fits no payment.</b> Its payment may still come; then the two are joined. If it does not, look on Buy Me a Coffee.
guess-disowned = <b>User <code>{ $user }</code> says: not my payment.</b> It had been found by amount and time. Its credits were taken back.
charge-flagged = <b>A code was paid twice</b>: { $amount } ({ $family }), { $time }, code <code>{ $code }</code>
    Charge: <code>{ $charge }</code>
    The user got the credits for both. If they paid twice by mistake, refund one on Buy Me a Coffee.
code-came-late = <b>A code came after the decision</b>: { $amount } ({ $family }), { $time }, code <code>{ $code }</code>
    Charge: <code>{ $charge }</code>
    The supporter added this code to the note after the payment was matched, and the code belongs to another user. Nothing was changed. <code>/find { $charge }</code> shows the decision; to follow the code, take the decision back there and match the payment again.
refund-overdrawn = <b>A refund came after its credits were spent</b>: user <code>{ $user }</code> now has { $credits }. They cannot spend until their balance is above zero again.
test-event = <b>The connection works</b>: a test event from Buy Me a Coffee arrived, correctly signed. Nothing was credited.
event-unreadable = <b>An event could not be read</b> ({ $type }). It is kept unchanged; look it up on Buy Me a Coffee. /failed lists the events that can be settled again.
event-unknown = <b>Buy Me a Coffee sent an event of an unknown kind</b>: { $type }. It is kept unchanged and had no effect.
event-retried = <b>Event #{ $number } was settled again</b>: { $became }.
claim-raised = <b>Paid, but no credits came</b>: a claim from user <code>{ $user }</code>.
signature-failures = <b>Deliveries arrive with a signature that fits none of your secrets</b>: { $count } so far. You get this message once; it comes again only after some quiet hours. If the secret was changed on Buy Me a Coffee, write the new one into BMC_WEBHOOK_SECRETS beside the old one. If not, a stranger sends them; they can change nothing.
legacy-webhook = <b>Buy Me a Coffee sent an event in its old format</b>, which lacks necessary data. Delete the webhook there and create it again.

## Why a rule did not match a payment; $rule is its name

rule-code = Code
rule-corrected_code = Corrected code
rule-subscription = Subscription
rule-known_supporter = Known supporter
rule-amount_and_time = Amount and time
rule-operator = Operator
why-no_code = no code in the note
why-unknown_code = a code, but none of ours
why-several_codes = several codes
why-no_code_near = nothing close to a code in use
why-several_codes_near = close to several codes
why-code_not_live = close to a code that has ended
why-no_subscription = not a subscription
why-new_subscription = seen for the first time
why-code_undone = a match by this code was taken back
why-payment_ended = their payment is no longer open
why-answered_without_code = a question of the Shop was answered without a code
why-guessed_lately = was found by amount and time less than 30 days ago
why-guess_taken_back = a guess of theirs was taken back less than 90 days ago
why-outsider = remembered as not one of our users
why-mentioned = named in the text
why-status_unknown = the status is not known to mean paid
why-amount_unreadable = the amount could not be read
why-period_missing = the period is missing
why-identity_missing = neither a transaction id nor a number
why-conflict = another payment has the same transaction id
why-announced_twice = looks like a payment that was announced before
why-listed_only = found only in Buy Me a Coffee’s list
why-new_supporter = not seen before
why-several_users = several users fit
why-other_user = the supporter is known as another user
why-no_open_payment = no open payment fits
why-several_open_payments = several open payments fit
why-other_amount = another amount
why-other_currency = another currency
why-outside_window = outside the time window
why-other_charge_waits = another payment of this amount waits as well
why-code_meant = a code was meant, so nothing is guessed
why-renewal = a renewal answers no open payment
why-asked_late = asked again later, when amount and time prove nothing
why-switched_off = switched off
why-no_rate = no rate for this currency in CREDITS_PER_UNIT
reason = • { $rule }: { $why }
reason-of-user = • { $rule }: { $why } – { $user }
reason-mentioned = • { $why } – { $user }
reason-of = • { $rule }: { $why } – { $user }, code <code>{ $code }</code>
type-none = no type

## The summary of everything that waits

waiting-summary = 📋 <b>{ $count } waiting for you</b>
waiting-summary-none = ✅ <b>Nothing is waiting for you any more</b>
waiting-summary-ordinary = { $count ->
    [one] { $count } looks like an ordinary supporter
   *[other] { $count } look like ordinary supporters
}:
waiting-summary-offered = #{ $number } · { $amount } · { $name }: { $note }
waiting-summary-to-decide = { $count ->
    [one] { $count } payment needs your decision
   *[other] { $count } payments need your decision
}: /unmatched
waiting-summary-probable = • #{ $number }, { $amount }: probably { $user }
waiting-summary-unsorted = { $count ->
    [one] { $count } more payment comes after these
   *[other] { $count } more payments come after these
}: /unmatched
waiting-summary-claims = { $count ->
    [one] { $count } claim
   *[other] { $count } claims
}: /claims
waiting-summary-events = { $count ->
    [one] { $count } event that could not be settled
   *[other] { $count } events that could not be settled
}: /failed
waiting-summary-folded = Also, not shown one by one: { $others }
waiting-summary-dismiss-all = { $count ->
    [one] Dismiss it
   *[other] Dismiss all { $count }
}
waiting-summary-credit = Credit { $user } { $amount }
waiting-summary-about = This message stays up to date, without a sound. /unmatched opens each payment.
