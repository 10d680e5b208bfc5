# Що читають оператори, українською. Значення приходять екрановані; <b>, <i>, <code> і <blockquote> — це HTML Telegram.

## Команди, як їх показує Telegram операторам

command-desk = Що може оператор
command-unmatched = Платежі, що чекають на вас
command-pending = Хто збирається платити
command-claims = Хто каже, що заплатив
command-find = Шукати за кодом, іменем, номером чи поштою
command-payment = Уся історія коду
command-stats = Сьогодні, 7 і 30 днів
command-credit = Додати або зняти кредити
command-undo = Скасувати зарахування чи зміну
command-replay = Що вирішили б теперішні правила
command-failed = Події, яких не вдалося опрацювати
command-guesses = Платежі, знайдені за сумою й часом
command-export = Платежі, кредити й рішення у CSV
command-doctor = Чи все гаразд?

desk-overview = <b>Стіл оператора</b>

    <b>Що чекає</b>
    /unmatched – платежі, які нікому не підійшли
    /pending – хто збирається платити
    /claims – хто каже, що заплатив, а кредитів немає
    /failed – події, яких не вдалося опрацювати чи прочитати

    <b>Що варто переглянути</b>
    /guesses – платежі, знайдені за сумою й часом, без коду

    <b>Подивитися</b>
    /find <i>код, @ім’я, номер у Telegram, транзакція, ім’я прихильника чи пошта</i>
    /payment <i>код</i> – уся його історія
    /stats – сьогодні, 7 і 30 днів
    /doctor – чи все гаразд, а якщо ні, що робити

    <b>Змінити</b>
    /credit <i>@ім’я +50 причина</i>
    /undo <i>номер платежу або @ім’я</i> – запитає про причину

    <b>Перевірити й зберегти</b>
    /replay <i>номер платежу або 2026-11-21</i> – нічого не змінює
    /export <i>2026-11</i> – три файли CSV

    Кожне рішення записується з вашим іменем і причиною. Кредити не рушать, доки ви не побачите, що саме станеться.

## Платіж

desk-charge-waits = <b>Платіж чекає на вас</b>
desk-charge = <b>Платіж</b>
desk-charge-what = №{ $number }: <b>{ $amount }</b> ({ $family }), { $time }
desk-charge-key = Ключ: <code>{ $charge }</code>
desk-charge-from = Від кого: { $name }
desk-charge-note = <blockquote>{ $note }</blockquote>
desk-charge-no-note = Без повідомлення.
desk-charge-why = Чому не вирішило жодне правило:
desk-charge-held = Зарахування скасовано: правила цього платежу більше не торкаються.
desk-charge-level = Рівень: { $item }
desk-charge-item = За що: { $item }
desk-charge-part-refunded = З них повернуто { $amount }.
desk-charge-only-a-person = Зарахувати його може лише людина.
desk-charge-no-amount = Скільки заплачено, невідомо, тож зарахувати його не можна. Подивіться на Buy Me a Coffee, додайте кредити через <code>/credit</code> і відкладіть платіж.
desk-charge-guess = 🔸 Припущення: знайдено за сумою й часом, без коду.
desk-charge-flag = { $flag }
desk-number = №{ $number }
desk-doubt-status = ⚠️ Стан на Buy Me a Coffee — «{ $told }». Невідомо, чи це означає, що заплачено.
desk-doubt-amount = ⚠️ Суму не вдалося прочитати: «{ $told }».
desk-doubt-period = ⚠️ Це підписка, але за який період, не сказано, тож повтору не вдалося б упізнати.
desk-doubt-identity = ⚠️ Немає ні номера транзакції, ні номера платежу, тож повтору не вдалося б упізнати.
desk-doubt-conflict = ⚠️ Платіж { $other } має той самий номер транзакції, але інший номер. Порівняйте обидва на Buy Me a Coffee.
desk-doubt-announced_twice = ⚠️ Схоже на платіж { $other }: раз його оголошено підтримкою, раз підпискою. Якщо це ті самі гроші, відкладіть його.
desk-doubt-unknown = ⚠️ { $doubt }: { $told }
desk-dismissed-by-memory = ⚪ Відкладено автоматично: запам’ятовано, що це не від наших користувачів.
desk-remembered-supporter = Запам’ятовано: цей прихильник не з наших користувачів. Інші його платежі без чинного коду відкладатимуться без картки.
desk-remembered-subscription = Запам’ятовано: ця підписка не від наших користувачів. Інші її платежі без чинного коду відкладатимуться без картки.
desk-remembered-level = Запам’ятовано: усі з рівнем «{ $item }». Інші платежі за нього без чинного коду відкладатимуться без картки.
desk-remembered-item = Запам’ятовано: усі, хто платить за «{ $item }». Інші такі платежі без чинного коду відкладатимуться без картки.
desk-undo-ends-memory = «Скасувати рішення» скасує і це.
desk-more = … і ще { $count }
desk-family-donation = підтримка
desk-family-extra_purchase = крамниця
desk-family-commission_order = замовлення
desk-family-wishlist_payment = список бажань
desk-family-recurring_donation = щомісячна підтримка
desk-family-membership = членство
desk-matched-to = ✅ Зараховано користувачеві { $user }: { $credits }. Вирішило: { $rule }.
desk-refunded-to = ↩️ Повернуто. Було зараховано користувачеві { $user }; з того лишилося: { $credits }.
desk-state-unmatched = ⏳ Чекає на людину.
desk-state-dismissed = ⚪ Відкладено: нікому не призначено.
desk-state-refunded = ↩️ Повернуто, нікому не було зараховано.
desk-state-matched = ✅ Зараховано.
desk-flag-late = Код тоді вже було закрито.
desk-flag-second_charge = Код оплачено двічі.
desk-decided-by = { $operator }, { $time }: { $action }. «{ $reason }»
desk-action-match = зараховано
desk-action-dismiss = відкладено
desk-action-undo_match = рішення скасовано
desk-action-refund_part = повернуто частину
desk-action-credit = рахунок змінено
desk-action-undo_adjustment = зміну скасовано
desk-action-decline_claim = звернення відхилено
desk-action-settle_again = подію опрацьовано ще раз
desk-action-put_aside = подію відкладено
desk-word-matched = зараховано
desk-word-unmatched = чекає
desk-word-dismissed = відкладено
desk-word-refunded = повернуто
desk-status-pending = відкритий
desk-status-completed = оплачено
desk-status-expired = час минув
desk-status-cancelled = скасовано

## Його кнопки

desk-pick-payment = { $user } · { $code } · { $amount }
desk-pick-user = { $user }, відомий прихильник
desk-pick-mentioned = { $user }, згадано в тексті
desk-find-button = 🔎 Знайти користувача
desk-dismiss-button = Нікому
desk-later-button = Згодом
desk-outsider-button = Не з наших користувачів
desk-any-level-button = Усі з рівнем «{ $item }»
desk-any-item-button = Усі, хто платить за «{ $item }»
desk-only-this-button = Лише цей платіж
desk-part-button = Повернуто частину
desk-only-part-button = Повернуто лише частину
desk-undo-button = Скасувати рішення
desk-open-button = №{ $number } · { $amount }
desk-back = ‹ Назад
desk-no = Ні, лишити як є
desk-page-back = « Назад
desk-page-forth = Далі »

## Рішення

desk-confirm-match = <b>Зарахувати цей платіж?</b> №{ $number }, { $amount }
desk-confirm-user = Кому: { $user }, тут від { $since }
desk-confirm-payment = За кодом <code>{ $code }</code>: було вибрано { $amount }, { $status }
desk-confirm-balance = { $credits }; рахунок { $before } → <b>{ $after }</b>
desk-confirm-yes = Так, зарахувати { $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}
desk-matched-short = Зараховано: { $user }, +{ $credits }.
desk-dismissed = Відкладено: №{ $number }. Передумаєте — /undo { $number }.
desk-later-set = Нагадаю { $time }, якщо доти ніхто не вирішить.
desk-chosen-payment = код { $code }
desk-chosen-user = користувач { $user }
desk-reason-failed = подія { $number }
desk-ask-who = <b>Чий платіж №{ $number }?</b>
    Надішліть у відповідь код, @ім’я або номер у Telegram.
desk-who-unknown = Такого тут не знають: людина мала хоч раз написати ботові. Чий платіж №{ $number }? Надішліть у відповідь іще раз або залиште як є.
desk-ask-why-dismiss = <b>Чому №{ $number } нікому не призначено?</b>
    Виберіть нижче, що запам’ятати, або надішліть у відповідь кілька слів: тоді буде відкладено лише цей платіж. Ваш вибір бачать тільки оператори.
desk-ask-how-much = <b>Скільки з №{ $number } повернуто?</b>
    Надішліть у відповідь суму: більшу за нуль і меншу за { $amount }.
desk-part-unreadable = <b>Це не частина від { $amount }.</b> Скільки з №{ $number } повернуто? Надішліть у відповідь суму, наприклад <code>7,50</code>, у валюті платежу.
desk-confirm-part = <b>Зняти кредити за частину №{ $number }?</b>
desk-part-reason = <blockquote>повернуто { $part } з { $amount }</blockquote>
desk-part-user = Користувач: { $user }
desk-part-yes = Так, повернуто { $part }
desk-part-done = ↩️ №{ $number }, { $user }: { $credits }. На рахунку { $balance }.
desk-part-noted = ↩️ №{ $number }: записано. Його ще нікому не зараховано; коли буде зараховано, кредитів буде на стільки менше.
desk-ask-why-undo-charge = <b>Чому скасовуєте рішення щодо №{ $number }?</b>
    Надішліть у відповідь кілька слів. Користувач прочитає їх у /history.
desk-ask-why-undo-entry = <b>Чому скасовуєте запис { $number }?</b>
    Надішліть у відповідь кілька слів. Користувач прочитає їх у /history.
desk-ask-why-decline = <b>Чому відхиляєте звернення { $user }?</b>
    Надішліть у відповідь кілька слів. Їх бачать лише оператори; користувачеві ввічливо скажуть, що нічого не знайдено.
desk-ask-why-aside = <b>Чому подію №{ $number } відкладено?</b>
    Надішліть у відповідь кілька слів. Їх бачать лише оператори. Рахунків це не змінює, а опрацювати її вже не можна буде.
desk-placeholder-putaside = Чому з нею більше нічого не робити?
desk-placeholder-who = Код, @ім’я або номер у Telegram
desk-placeholder-howmuch = Сума, яку повернуто
desk-placeholder-dismiss = Чому нікому?
desk-placeholder-undocharge = Чому скасовуєте?
desk-placeholder-undoentry = Чому скасовуєте?
desk-placeholder-decline = Чому відхиляєте?

## Чому нічого не зроблено

desk-refused-other-first = Вас випередили: { $operator }. Ось що є тепер.
desk-refused-event-decided = Вас випередили: { $operator }. Цю подію вже вирішено; що лишилося, показує /failed.
desk-refused-rule-first = Тим часом це вже вирішено правилом або самим користувачем. Ось що є тепер.
desk-refused-unknown_charge = Такого платежу немає.
desk-refused-unknown_user = Такого користувача тут немає: людина мала хоч раз написати ботові.
desk-refused-unknown_claim = Такого звернення немає.
desk-refused-unknown_event = Цієї події вже немає у списку: її опрацьовано, або хтось натиснув раніше.
desk-refused-no_rate = Для цієї валюти немає курсу. Допишіть його в CREDITS_PER_UNIT, перезапустіть і тоді вирішуйте.
desk-refused-nothing_to_undo = Тут нема чого скасовувати.
desk-refused-no_part = Це не частина заплаченого. Щоб зняти все, натисніть «Скасувати рішення».
desk-refused-not_refundable = Зняти частину тут не можна: платіж відкладено, не оплачено або його сума невідома.
desk-refused-nothing_to_remember = У цьому платежі немає нічого, за чим упізнати наступні. Виберіть «Лише цей платіж».
desk-refused-undone_before = Це вже скасовано раніше.
desk-refused-repeated = Уже зроблено: друге натискання нічого не змінює.
desk-refused-charge-gone = Той платіж більше не чекає. Ось що є тепер.
desk-too-old = Telegram уже не зберігає цього повідомлення. Надішліть команду ще раз.

## Звернення

desk-claim = <b>Плачено, а нічого не прийшло</b>
    Каже { $user }: { $amount }, { $day }.
desk-claim-name = Ім’я у платежі: { $name }
desk-claim-no-name = Імені в платежі не назвали.
desk-claim-raised = Повідомлено { $time }.
desk-claim-declined-before = Раніше відхилено звернень: { $count }, востаннє { $day }.
desk-claim-candidates = Платежі, що чекають і можуть бути ним:
desk-claim-no-candidates = Нічого схожого не чекає. Пошукайте через /find або відхиліть; якщо платіж надійде пізніше, він буде в /unmatched.
desk-claim-charge = • №{ $number }: { $amount }, { $time }, { $name } ({ $fits })
desk-claim-guessed = Або правило зарахувало його комусь іншому, без повного коду:
desk-claim-guess = • №{ $number }: { $amount }, { $time }, зараховано користувачеві { $user }, вирішило: { $rule }. Якщо це він: <code>/undo { $number }</code>
desk-fit-amount = сума
desk-fit-day = день
desk-fit-name = ім’я
desk-claim-credit = ✓ №{ $number }: { $user } +{ $credits }
desk-claim-pick = №{ $number } для { $user }?
desk-decline-button = Жоден із них
desk-declined = Відхилено. Користувача сповіщено.
desk-claim-confirmed = ✅ Це був платіж №{ $charge }. { $operator }
desk-claim-declined = ⚪ Відхилив оператор { $operator }.
desk-claim-withdrawn = ⚪ Користувач відкликав звернення.

## Списки

desk-unmatched-title = <b>{ $total ->
    [one] Чекає { $total } платіж
    [few] Чекають { $total } платежі
   *[many] Чекають { $total } платежів
}</b> · сторінка { $page } з { $pages }
desk-unmatched-none = Нічого не чекає: кожен платіж знайшов свого користувача.
desk-pending-title = <b>{ $total ->
    [one] { $total } відкритий платіж
    [few] { $total } відкриті платежі
   *[many] { $total } відкритих платежів
}</b> · сторінка { $page } з { $pages }
desk-pending-none = Наразі ніхто не збирається платити.
desk-claims-title = <b>{ $total ->
    [one] Відкрите { $total } звернення
    [few] Відкриті { $total } звернення
   *[many] Відкрито { $total } звернень
}</b> · сторінка { $page } з { $pages }
desk-claims-none = Ніхто не шукає свого платежу.
desk-claims-line = №{ $number } · <b>{ $amount }</b>, { $day } · { $user } · надійшло { $time }
desk-claims-button = Відкрити звернення №{ $number }
desk-failed-title = <b>{ $total ->
    [one] { $total } подія нічого не змінила
    [few] { $total } події нічого не змінили
   *[many] { $total } подій нічого не змінили
}</b> · сторінка { $page } з { $pages }
    Причина — у <code>docker compose logs webhook</code>. Коли її усунено, найчастіше новою версією, опрацюйте їх тут. Ті, яких ніхто вже не прочитає або за які ви зарахували кредити вручну, відкладіть.
desk-failed-none = Усі події опрацьовано або відкладено.
desk-failed-line = №{ $number } · { $type } · { $time } · { $became }
desk-failed-button = Опрацювати №{ $number } ще раз
desk-aside-button = Відкласти №{ $number }
desk-confirm-failed = <b>Опрацювати подію №{ $number } ще раз?</b> Її вирішать теперішні правила, наче вона надійшла зараз. Якщо ви вже зарахували кредити вручну, спершу заберіть їх (/undo), інакше людина отримає їх двічі.
desk-failed-yes = Так, опрацювати
desk-aside = Подію №{ $number } відкладено: про неї більше не питають, і опрацювати її вже не можна.
desk-failed-wanted = Опрацьовуємо. Вам напишуть, що з нею сталося.
became-credited = зараховано
became-unmatched = чекає на людину: /unmatched
became-refunded = повернуто
became-recorded = записано; кредитів вона не рухає
became-duplicate = вона надходила ще раз, і тоді її опрацьовано
became-test = тест
became-unknown = невідомого тут виду
became-legacy = у старому форматі
became-unreadable = не вдалося прочитати
became-failed = не вдалося опрацювати
became-wanted = опрацьовується
desk-guesses-title = <b>{ $total ->
    [one] За сумою й часом знайдено { $total } платіж
    [few] За сумою й часом знайдено { $total } платежі
   *[many] За сумою й часом знайдено { $total } платежів
}</b> · сторінка { $page } з { $pages }
desk-guesses-none = За сумою й часом ще нічого не знайдено.
desk-guesses-line = №{ $number } · <b>{ $amount }</b> · { $user } · { $time } · { $state }
desk-guess-stands = чинний
desk-guess-taken-back = скасовано { $time }
desk-charge-line = №{ $number } · <b>{ $amount }</b> · { $time } · { $name } · { $state }
desk-payment-line = <code>{ $code }</code> · <b>{ $amount }</b> · { $user } · { $time } · { $status }

## Пошук

desk-find-how = Що шукати? <code>/find K7QM-2XHD</code>, <code>/find @anna</code>, <code>/find 1000001</code>, <code>/find pi_3Abc</code>, <code>/find Anna K.</code> (як на Buy Me a Coffee) або <code>/find anna@example.org</code>
desk-found-nothing = Нічого не знайдено. Порівнюються цілі коди, імена, номери й адреси, а не їхні частини.
desk-found-nobody = Такого імені тут не знають. Людина мала хоч раз написати ботові.
desk-user = <b>{ $user }</b>: { $credits }, тут від { $since }, мова { $language }
desk-user-erased = Дані стерто на прохання користувача: { $time }.
desk-user-unreachable = Недоступний від { $time }: заблокував бота або залишив Telegram.
desk-email = { $email }
desk-payment-how = Який код? <code>/payment K7QM-2XHD</code>
desk-payment-unknown = Платежу з таким кодом немає.
desk-life-opened = { $time } створено
desk-life-ended = { $time } { $status }
desk-life-charge = { $time } платіж №{ $number }, { $amount } (<code>{ $charge }</code>), вирішило: { $rule }
desk-life-no-charge = Грошей із цим кодом не надходило.
desk-life-entry = { $time } <b>{ $credits }</b> ({ $kind }) користувачеві <code>{ $user }</code>, запис c{ $number }
desk-life-told = { $time } повідомлення: { $kind }, { $status }
desk-entry-payment = платіж
desk-entry-refund = повернення
desk-entry-reversal = скасування
desk-entry-spend = витрата
desk-entry-adjustment = зміна
desk-sent-pending = у дорозі
desk-sent-sent = надіслано
desk-sent-unreachable = не дійшло, недоступний
desk-sent-withheld = не надсилали
desk-sent-dead = не вдалося
desk-sent-addressed = передано
desk-sent-folded = враховано в підсумку
desk-kind-payment_credited = зараховано
desk-kind-payment_refunded = повернуто
desk-kind-payment_under_review = на перевірці
desk-kind-payment_expired = час минув
desk-kind-credits_adjusted = рахунок змінено
desk-kind-claim_declined = звернення відхилено
desk-kind-charge_unmatched = платіж чекає
desk-kind-charge_flagged = код оплачено двічі
desk-kind-code_came_late = код надійшов пізніше
desk-kind-refund_overdrawn = рахунок нижче нуля
desk-kind-charge_guessed = знайдено за сумою й часом
desk-kind-charge_refunded = платіж повернуто
desk-kind-charge_contradicted = пізніша подія каже інше
desk-kind-refund_unknown = повернення без платежу
desk-kind-guess_disowned = «не мій»
desk-kind-claim_raised = звернення
desk-kind-signature_failures = хибні підписи
desk-kind-test_event = тестова подія
desk-kind-event_unreadable = нечитабельна подія
desk-kind-event_unknown = подія невідомого виду
desk-kind-event_settled_again = подію опрацьовано ще раз
desk-kind-legacy_webhook = подія у старому форматі
desk-kind-waiting_summary = підсумок

## Зміна рахунку

desk-credit-how = Скажіть кому, скільки й чому: <code>/credit @anna +50 за переклад</code>
    Мінус знімає кредити; число пишіть без пропусків: +1000. Користувача буде сповіщено, а причину він прочитає в /history.
desk-credit-several = Це ім’я мали кілька людей. Візьміть номер у Telegram, його показує /find.
desk-confirm-credit = { $sign ->
    [plus] <b>Додати { $credits } користувачеві { $user }?</b>
   *[minus] <b>Зняти { $credits } з рахунку { $user }?</b>
}
    Рахунок { $before } → <b>{ $after }</b>. У /history стоятиме:
    <blockquote>{ $reason }</blockquote>
desk-adjust-yes = Так, { $credits }
desk-adjusted = ✅ { $user }: { $credits }. На рахунку { $balance }.
desk-left = Лишилося як було.
desk-undo-how = Що скасувати? <code>/undo 7</code> — платіж №7, <code>/undo c12</code> — запис 12, <code>/undo @anna</code> — вибрати.
desk-undo-unknown = Такого немає. <code>/undo 7</code> скасовує рішення щодо платежу №7, <code>/undo @anna</code> дає вибрати.
desk-undo-which = <b>Що скасувати для { $user }?</b>
desk-undo-charge = Платіж №{ $number }, { $amount }, { $time }. Він знову чекатиме на людину.
desk-undo-charge-button = Платіж №{ $number } · { $amount }
desk-undo-entry-button = Запис c{ $number } · { $credits }
desk-entry = c{ $number }: <b>{ $credits }</b>, { $user }, { $time }. «{ $cause }»
desk-confirm-undo = <b>Скасувати це?</b> Ваша причина:
    <blockquote>{ $reason }</blockquote>
desk-undo-yes = Так, скасувати
desk-undone = ↩️ Скасовано: { $user }, { $credits }. На рахунку { $balance }.
desk-undone-waits = ↩️ Платіж №{ $number } знову чекає на людину: /unmatched

## Числа

desk-stats-period = <b>{ $period ->
    [today] Сьогодні
    [week] 7 днів
   *[month] 30 днів
}</b>: { $charges ->
    [one] { $charges } платіж
    [few] { $charges } платежі
   *[many] { $charges } платежів
}
desk-stats-sums = Сплачено: { $sums }
desk-stats-credits = Кредитів записано: { $credits }
desk-stats-methods = Вирішило: { $methods }
desk-stats-unmatched = Чекає: { $count } ({ $share })
desk-stats-refunded = Повернуто: { $count }
desk-stats-nothing = поки нічого
desk-chart-title = Платежі за день, останні 30 днів (UTC)
desk-chart-settled = вирішено
desk-chart-waiting = чекає на людину
desk-chart-missing = Намалювати не вдалося; числа правильні.

## Вивантаження

desk-export-how = За який час? <code>/export 2026-11</code>, <code>/export 2026-11-21</code> або <code>/export 2026-11-01 2026-11-15</code> (обидва дні включно, UTC).
desk-export-charges = Платежі, { $period }: { $rows ->
    [one] { $rows } рядок
    [few] { $rows } рядки
   *[many] { $rows } рядків
}
desk-export-credits = Кредити, { $period }: { $rows ->
    [one] { $rows } рядок
    [few] { $rows } рядки
   *[many] { $rows } рядків
}
desk-export-actions = Рішення операторів, { $period }: { $rows ->
    [one] { $rows } рядок
    [few] { $rows } рядки
   *[many] { $rows } рядків
}
desk-export-cut = Тут лише перші { $rows } рядків: виберіть коротший час.

## Повторний розгляд

desk-replay-how = Що розглянути? <code>/replay 7</code> — платіж №7, <code>/replay 2026-11-21</code> або <code>/replay 2026-11</code>. Це нічого не змінює.
desk-replay-title = <b>Пробний розгляд</b>, нічого не змінено: { $total ->
    [one] { $total } платіж
    [few] { $total } платежі
   *[many] { $total } платежів
}, інакше вирішено { $differing }.
desk-replay-none = Подій за той час немає, або їхній зміст уже стерто за строком зберігання.
desk-replay-same = • №{ $number }, { $amount }: як і тоді, { $then }
desk-replay-other = • <b>№{ $number }</b>, { $amount }: тоді { $then }; тепер { $now }
desk-replay-to = { $rule } → { $user }
desk-replay-unmatched = чекає на людину
desk-replay-dismissed = відкладено
desk-replay-why = — { $reasons }
desk-replay-cut = Показано лише перші { $count }: виберіть коротший час.

## Лікар

desk-doctor-title = <b>Як справи</b>
desk-doctor-webhook-never = 🔴 Від Buy Me a Coffee ще нічого не надходило. Натисніть «Send test» на сторінці вебхука; тиша? Порівняйте там адресу з https://{ $host }/bmc-webhook
desk-doctor-webhook-tested = 🟢 Остання подія { $ago } тому ({ $became }); за 7 днів { $count }.
desk-doctor-webhook-quiet = 🟡 Остання подія { $ago } тому. Якщо відтоді хтось платив, погляньте на сторінку вебхука Buy Me a Coffee: можливо, його вимкнено.
desk-doctor-secret-one = 🟢 Підписано секретом № { $numbers }.
desk-doctor-secret-several = 🟡 За 7 днів підписано кількома секретами: № { $numbers }. Коли старий уже не вживатимуть, приберіть його з BMC_WEBHOOK_SECRETS.
desk-doctor-secret-none = 🟡 Яким секретом підписано події цих 7 днів, не записано. Натисніть «Send test» на сторінці вебхука Buy Me a Coffee.
desk-doctor-forged = 🔴 Запитів за добу, до яких не підходить жоден секрет: { $count }, останній { $ago } тому. Чи не змінено секрет на Buy Me a Coffee? Допишіть новий поруч зі старим.
desk-doctor-forged-none = 🟢 За добу жодного хибного підпису.
desk-doctor-refused = 🔴 Відхилено доставок поспіль: { $count }, останню { $ago } тому. Після понад десяти Buy Me a Coffee вимикає вебхук. Що робити: docs/runbook.md, «WebhookNearDisable»
desk-doctor-failed = 🔴 За 7 днів не вдалося опрацювати чи прочитати подій: { $count }. Їх збережено: /failed
desk-doctor-owed-none = 🟢 Усі повідомлення доставлено.
desk-doctor-owed = 🟢 Повідомлень у дорозі: { $count }, найстаршому { $ago }.
desk-doctor-owed-long = 🔴 Не надіслано повідомлень: { $count }, найстарше чекає { $ago }. Погляньте: docker compose logs bot
desk-doctor-dead = 🟡 Повідомлень, які так і не вдалося надіслати: { $count }. Що робити: docs/runbook.md, «Nobody is told»
desk-doctor-clock = 🟢 Годинники збігаються (база { $database } с, Telegram { $telegram } с).
desk-doctor-clock-off = 🔴 Годинники розходяться: база { $database } с, Telegram { $telegram } с. Налаштуйте годинник цієї машини (timedatectl).
desk-doctor-clock-partly = 🟡 Годинник бази { $database } с; Telegram часу не сказав. Запитайте за хвилину; якщо так і лишиться, перевірте, чи ця машина досягає TELEGRAM_API_URL.
desk-doctor-unmatched-none = 🟢 Жоден платіж не чекає на людину.
desk-doctor-unmatched = 🟡 Платежів, що чекають на людину: { $count }. /unmatched
desk-doctor-claims = 🟡 Відкритих звернень: { $count }. Список: /claims
desk-doctor-drift-none = 🟢 Рахунки збігаються з книгою.
desk-doctor-drift = 🔴 Рахунки розходяться з книгою, разом на { $count }. Див. docs/runbook.md, «Balances differ from the ledger»
desk-doctor-backup = 🟢 Остання резервна копія { $ago } тому.
desk-doctor-backup-old = 🟡 Останній резервній копії { $ago }. Що робити: docs/runbook.md, «BackupOld»
desk-doctor-backup-none = 🟡 Резервної копії немає. Що робити: docs/runbook.md, «BackupMissing»
desk-doctor-operators = 🟢 Усі оператори доступні.
desk-doctor-operators-away = 🟡 Ці оператори нічого не чують: { $operators }. Нехай натиснуть «Почати» в цьому чаті.
desk-doctor-versions = ⚪ Версія { $version } ({ $revision }), Python { $python }, Postgres { $postgres }, aiogram { $aiogram }
desk-ago = { $unit ->
    [seconds] { $count } с
    [minutes] { $count } хв
    [hours] { $count } год
   *[days] { $count } дн.
}

## Що повідомляють операторам

charge-unmatched = <b>Платіж чекає на вас</b>: { $amount } ({ $family }), { $time }
    Платіж: <code>{ $charge }</code>

    Його не вдалося зіставити з користувачем:
charge-about = { $amount } ({ $family }), { $time }
    Платіж: <code>{ $charge }</code>
charge-guessed = <b>Платіж зараховано за сумою й часом.</b> Коду в ньому не було. Якщо він чужий, скасуйте рішення.
charge-refunded = <b>Платіж повернуто</b>, усі кредити за нього знято. Buy Me a Coffee зазвичай називає повну суму, навіть якщо повернуто лише частину: тоді натисніть кнопку нижче.
charge-contradicted = <b>Пізніша подія суперечить тому, що ми маємо.</b> Нічого не змінено: порівняйте платіж на Buy Me a Coffee і вирішіть.
contradicted-amount = У нас { $known }, а в пізнішій події { $told }.
contradicted-status = У нас { $known } як оплачені, а в пізнішій події стан «{ $status }».
contradicted-refund = У нас платіж { $known }, а повернення — { $told }.
refund-unknown = <b>Надійшло повернення, якому не відповідає жоден платіж.</b> Платіж ще може надійти; тоді їх буде поєднано. Якщо не надійде, подивіться на Buy Me a Coffee.
guess-disowned = <b>Користувач <code>{ $user }</code> каже: платіж не мій.</b> Його було знайдено за сумою й часом. Кредити знято.
charge-flagged = <b>Код оплачено двічі</b>: { $amount } ({ $family }), { $time }, код <code>{ $code }</code>
    Платіж: <code>{ $charge }</code>
    Користувач отримав кредити за обидва. Якщо це його помилка, поверніть один на Buy Me a Coffee.
code-came-late = <b>Код надійшов після рішення</b>: { $amount } ({ $family }), { $time }, код <code>{ $code }</code>
    Платіж: <code>{ $charge }</code>
    Слова з цим кодом додано вже тоді, коли було вирішено, чий це платіж, а код належить комусь іншому. Нічого не змінено. <code>/find { $charge }</code> показує рішення; якщо правильний код, скасуйте там рішення і зіставте платіж знову.
refund-overdrawn = <b>Платіж повернуто, коли кредити вже витрачено</b>: користувач <code>{ $user }</code> тепер має { $credits }. Витрачати він не зможе, доки рахунок не стане додатним.
test-event = <b>З’єднання працює</b>: надійшла тестова подія Buy Me a Coffee з правильним підписом. Нічого не нараховано.
event-unreadable = <b>Подію не вдалося прочитати</b> ({ $type }). Її збережено такою, як надійшла; подивіться на Buy Me a Coffee, про що вона. /failed показує, що можна опрацювати ще раз.
event-unknown = <b>Buy Me a Coffee надіслав подію невідомого виду</b>: { $type }. Її збережено такою, як надійшла; вона нічого не змінила.
event-settled-again = <b>Подію №{ $number } опрацьовано ще раз</b>: { $became }.
claim-raised = <b>Оплата є, а кредитів немає</b>: так каже користувач <code>{ $user }</code>.
signature-failures = <b>Надходять події, підпис яких не підходить до жодного з ваших секретів</b>: поки що { $count }; про це сповіщається раз, доки кілька годин не буде тихо. Якщо секрет на Buy Me a Coffee змінено, допишіть новий у BMC_WEBHOOK_SECRETS поруч зі старим. Якщо ні, стукає хтось чужий; змінити він нічого не може.
legacy-webhook = <b>Buy Me a Coffee надіслав подію у старому форматі</b>, де бракує потрібного. Видаліть там вебхук і створіть його заново.

## Чому правило не зіставило платіж; $rule його називає

rule-code = Код
rule-corrected_code = Виправлений код
rule-subscription = Підписка
rule-known_supporter = Відомий прихильник
rule-amount_and_time = Сума й час
rule-operator = Оператор
why-no_code = у повідомленні немає коду
why-unknown_code = є код, але не наш
why-several_codes = кілька кодів
why-no_code_near = немає нічого схожого на чинний код
why-several_codes_near = схоже на кілька кодів
why-code_not_live = схоже на код, що вже завершився
why-no_subscription = це не підписка
why-new_subscription = підписка вперше
why-code_undone = зарахування за цим кодом скасовано
why-payment_ended = відповідний платіж уже не відкритий
why-answered_without_code = на запитання крамниці відповіли без коду
why-guessed_lately = менш ніж 30 днів тому вже знайдено за сумою й часом
why-guess_taken_back = менш ніж 90 днів тому таке зарахування скасовано
why-outsider = запам’ятовано, що не з наших користувачів
why-mentioned = згадано в тексті
why-status_unknown = невідомо, чи такий стан означає, що заплачено
why-amount_unreadable = суму не вдалося прочитати
why-period_missing = не вказано періоду
why-identity_missing = немає ні номера транзакції, ні номера платежу
why-conflict = такий номер транзакції має інший платіж
why-announced_twice = схоже на платіж, який уже оголошували
why-new_supporter = прихильник уперше
why-several_users = підходять кілька користувачів
why-other_user = прихильник відомий як інший користувач
why-no_open_payment = немає відповідного відкритого платежу
why-several_open_payments = кілька відповідних відкритих платежів
why-other_amount = інша сума
why-other_currency = інша валюта
why-outside_window = поза часовим вікном
why-other_charge_waits = чекає ще один платіж на таку суму
why-code_meant = малося на увазі код, тож навмання не зараховуємо
why-renewal = поновлення підписки не відповідає відкритому платежу
why-asked_late = розглядається повторно, а тоді сума й час уже нічого не доводять
why-switched_off = вимкнено
why-no_rate = для цієї валюти немає курсу в CREDITS_PER_UNIT
reason = • { $rule }: { $why }
reason-of-user = • { $rule }: { $why } – { $user }
reason-mentioned = • { $why } – { $user }
reason-of = • { $rule }: { $why } – { $user }, код <code>{ $code }</code>
type-none = без типу

## Підсумок того, що чекає, коли всього одразу забагато, щоб показувати кожне окремо

waiting-summary = 📋 <b>Чекають на вас: { $count }</b>
waiting-summary-none = ✅ <b>На вас більше нічого не чекає</b>
waiting-summary-without-code = { $count ->
    [one] { $count } платіж без коду
    [few] { $count } платежі без коду
   *[other] { $count } платежів без коду
}: /unmatched
waiting-summary-doubtful = { $count ->
    [one] { $count } платіж із кодом або сумнівом
    [few] { $count } платежі з кодом або сумнівом
   *[other] { $count } платежів із кодом або сумнівом
}: /unmatched
waiting-summary-claims = { $count ->
    [one] { $count } звернення
    [few] { $count } звернення
   *[other] { $count } звернень
}: /claims
waiting-summary-events = { $count ->
    [one] { $count } подія, яку не вдалося опрацювати
    [few] { $count } події, які не вдалося опрацювати
   *[other] { $count } подій, які не вдалося опрацювати
}: /failed
waiting-summary-folded = А ще, окремо не показано: { $others }
waiting-summary-about = Усього одразу надійшло стільки, що тут лише підрахунок. Це повідомлення оновлюється саме.
