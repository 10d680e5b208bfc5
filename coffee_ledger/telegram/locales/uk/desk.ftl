# Тексти для операторів українською. Значення вже екрановано; <b>, <i>, <code> і <blockquote> — розмітка HTML у Telegram.

## Команди операторів у меню Telegram

command-desk = Панель оператора
command-waiting = Усе, що чекає на рішення, одним повідомленням
command-unmatched = Платежі без власника
command-pending = Відкриті платежі
command-claims = Звернення: заплатили, а кредитів немає
command-find = Шукати за кодом, іменем, ID або поштою
command-payment = Уся історія коду
command-stats = Сьогодні, 7 і 30 днів
command-credit = Додати або зняти кредити
command-undo = Скасувати зарахування або зміну балансу
command-part = Повернуто лише частину платежу
command-outsiders = Запам’ятовані: не наші користувачі
command-replay = Перевірити рішення за нинішніми правилами
command-failed = Події, яких не вдалося опрацювати
command-guesses = Платежі, знайдені за сумою й часом
command-export = Платежі, кредити й рішення у CSV
command-reconcile = Порівняти зі списком Buy Me a Coffee
command-doctor = Стан системи

desk-overview = <b>Панель оператора</b>

    <b>Очікують</b>
    /waiting – усе, що чекає на рішення, з кнопками
    /unmatched – платежі без власника
    /pending – відкриті платежі
    /claims – звернення: заплатили, а кредитів немає
    /failed – події, яких не вдалося опрацювати чи прочитати

    <b>Варто переглянути</b>
    /guesses – платежі, знайдені за сумою й часом, без коду
    /outsiders – кого запам’ятовано як не наших користувачів

    <b>Пошук і стан</b>
    /find <i>код, частина імені, ID у Telegram, транзакція або пошта</i>
    /payment <i>код</i> – уся історія коду
    /stats – сьогодні, 7 і 30 днів
    /doctor – стан системи й поради, що робити

    <b>Зміни</b>
    /credit <i>@ім’я +50 причина</i>
    /undo <i>номер платежу або @ім’я</i> – запитає причину
    /part <i>номер платежу</i> – повернуто лише частину
    /cancel – залишити запитання бота без відповіді

    <b>Перевірка й експорт</b>
    /replay <i>номер платежу або 2026-11-21</i> – нічого не змінює
    /export <i>2026-11</i> – три файли CSV
    /reconcile – порівнює зі списком Buy Me a Coffee

    Список можна відкрити на будь-якій сторінці: <code>/unmatched 2</code>. Кожне рішення записується з вашим іменем і причиною. Перш ніж змінити баланс, бот показує, що саме станеться.

## Платіж

desk-charge-waits = <b>Платіж чекає на вас</b>
desk-charge = <b>Платіж</b>
desk-charge-what = №{ $number }: <b>{ $amount }</b> ({ $family }), { $time }
desk-charge-later = ⏰ Відкладено: нагадаю { $time }
desk-charge-key = Ключ платежу: <code>{ $charge }</code>
desk-charge-from = Від кого: { $name }
desk-charge-note = <blockquote>{ $note }</blockquote>
desk-charge-no-note = Без повідомлення.
desk-charge-why = Чому правила не спрацювали:
desk-charge-held = Зарахування скасовано, тож правила до цього платежу більше не застосовуються.
desk-charge-level = Рівень: { $item }
desk-charge-item = За що: { $item }
desk-charge-part-refunded = З них повернуто { $amount }.
desk-charge-only-a-person = Зарахувати його може лише оператор.
desk-charge-no-amount = Сума невідома, тож зарахувати платіж не можна. Перевірте її на Buy Me a Coffee, додайте кредити через <code>/credit</code> і зніміть платіж із розгляду.
desk-charge-guess = 🔸 Припущення: знайдено за сумою й часом, без коду.
desk-charge-flag = { $flag }
desk-number = №{ $number }
desk-doubt-status = ⚠️ Стан на Buy Me a Coffee — «{ $told }». Невідомо, чи означає він, що гроші надійшли.
desk-doubt-amount = ⚠️ Суму не вдалося прочитати: «{ $told }».
desk-doubt-period = ⚠️ Це підписка, але її період не вказано, тож повтор платежу неможливо розпізнати.
desk-doubt-identity = ⚠️ Немає ні ID транзакції, ні номера платежу, тож повтор платежу неможливо розпізнати.
desk-doubt-conflict = ⚠️ Платіж { $other } має той самий ID транзакції, але інший номер. Порівняйте обидва на Buy Me a Coffee.
desk-doubt-announced_twice = ⚠️ Схоже на платіж { $other }, про який повідомлено вдруге, наприклад спершу як про підтримку, а тоді як про підписку. Якщо це ті самі гроші, зніміть цей платіж із розгляду.
desk-doubt-listed_only = ⚠️ Вебхук про нього не надійшов: платіж знайдено у списку Buy Me a Coffee. Самого списку замало, щоб зарахувати автоматично.
desk-doubt-unknown = ⚠️ { $doubt }: { $told }
desk-dismissed-by-memory = ⚪ Знято з розгляду автоматично: запам’ятовано, що це не від наших користувачів.
desk-remembered-supporter = Запам’ятовано: цей прихильник — не наш користувач. Інші його платежі без чинного коду зніматимуться з розгляду без картки.
desk-remembered-subscription = Запам’ятовано: ця підписка — не від нашого користувача. Інші платежі за нею без чинного коду зніматимуться з розгляду без картки.
desk-remembered-level = Запам’ятовано: усі з рівнем «{ $item }». Інші платежі за цей рівень без чинного коду зніматимуться з розгляду без картки.
desk-remembered-item = Запам’ятовано: усі, хто платить за «{ $item }». Інші такі платежі без чинного коду зніматимуться з розгляду без картки.
desk-undo-ends-memory = Кнопка «Скасувати рішення» скасує і це.
desk-more = … і ще { $count }
desk-family-donation = підтримка
desk-family-extra_purchase = крамниця
desk-family-commission_order = замовлення
desk-family-wishlist_payment = список бажань
desk-family-recurring_donation = щомісячна підтримка
desk-family-membership = членство
desk-matched-to = ✅ Зараховано користувачеві { $user }: { $credits }. Підстава: { $rule }.
desk-refunded-to = ↩️ Гроші повернуто. Платіж було зараховано користувачеві { $user }; залишилося: { $credits }.
desk-state-unmatched = ⏳ Чекає на рішення оператора.
desk-state-dismissed = ⚪ Знято з розгляду: платіж не стосується користувачів.
desk-state-refunded = ↩️ Гроші повернуто; платіж нікому не було зараховано.
desk-state-matched = ✅ Зараховано.
desk-flag-late = На той час код уже було закрито.
desk-flag-second_charge = Код оплачено двічі.
desk-decided-by = { $operator }, { $time }: { $action }. «{ $reason }»
desk-action-match = зараховано
desk-action-dismiss = знято з розгляду
desk-action-undo_match = рішення скасовано
desk-action-refund_part = повернуто частину
desk-action-credit = баланс змінено
desk-action-undo_adjustment = зміну балансу скасовано
desk-action-decline_claim = звернення відхилено
desk-action-retry = подію опрацьовано ще раз
desk-action-dismiss_event = подію знято з розгляду
desk-word-matched = зараховано
desk-word-unmatched = чекає
desk-word-dismissed = знято з розгляду
desk-word-refunded = повернуто
desk-status-pending = відкритий
desk-status-completed = оплачено
desk-status-expired = час минув
desk-status-cancelled = скасовано

## Кнопки платежу

desk-pick-payment = { $user } · { $code } · { $amount }
desk-pick-user = { $user }, відомий прихильник
desk-pick-mentioned = { $user }, згадано в тексті
desk-find-button = 🔎 Знайти користувача
desk-preset-supporter = Просто прихильник
desk-preset-gift = Подарунок
desk-dismiss-button = Інше…
desk-presets-supporter = <i>«Просто прихильник» запам’ятовує прихильника: інші його платежі без чинного коду теж зніматимуться з розгляду. «Подарунок» нічого не запам’ятовує.</i>
desk-presets-subscription = <i>«Просто прихильник» запам’ятовує підписку: інші платежі за нею без чинного коду теж зніматимуться з розгляду. «Подарунок» нічого не запам’ятовує.</i>
desk-presets-nothing = <i>«Просто прихильник» і «Подарунок» знімають лише цей платіж: у ньому не вказано, хто прихильник.</i>
desk-later-button = Пізніше
desk-later-hour = За 1 год
desk-later-hours = За 3 год
desk-later-morning = Завтра вранці
desk-later-never = Не нагадувати
desk-suggest-open = { $user } · того дня вибрано { $amount }
desk-suggest-name = { $user } · є платежі з цим іменем
desk-suggest-claim = { $user } · звернення на { $amount }
desk-any-level-button = Усі з рівнем «{ $item }»
desk-any-item-button = Усі, хто платить за «{ $item }»
desk-part-button = Повернуто частину
desk-only-part-button = Повернуто лише частину
desk-undo-button = Скасувати рішення
desk-open-button = №{ $number } · { $amount }
desk-back = ‹ Назад
desk-no = Ні, залишити як є
desk-page-back = « Назад
desk-page-forth = Далі »

## Рішення

desk-confirm-match = <b>Зарахувати цей платіж?</b> №{ $number }, { $amount }
desk-confirm-user = Кому: { $user }, користується ботом від { $since }
desk-confirm-payment = За кодом <code>{ $code }</code>: вибрано { $amount }, { $status }
desk-confirm-balance = { $credits }; баланс { $before } → <b>{ $after }</b>
desk-confirm-yes = Так, зарахувати { $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}
desk-matched-short = Зараховано: { $user }, +{ $credits }.
desk-dismissed-short = Знято з розгляду: №{ $number }.
desk-dismissed = Знято з розгляду: №{ $number }. Скасувати це можна так: /undo { $number }.
desk-later-set = Покажу знову, якщо доти не буде рішення. Час видно на картці.
desk-later-cancelled = Нагадування не буде.
desk-chosen-payment = код { $code }
desk-chosen-user = користувач { $user }
desk-reason-failed = подія { $number }
desk-ask-who = <b>Чий платіж №{ $number }?</b>
    Напишіть код, ID у Telegram або частину @імені чи імені на Buy Me a Coffee.
desk-ask-who-suggested = <b>Чий платіж №{ $number }?</b>
    Виберіть нижче або напишіть код, ID у Telegram, частину @імені чи імені на Buy Me a Coffee.
desk-who-unknown = Такого користувача тут немає: спершу він має написати боту. Чий платіж №{ $number }? Напишіть ще раз або надішліть /cancel.
desk-who-several = <b>Підходить кілька людей. Чий платіж №{ $number }?</b>
desk-which = <b>На яке запитання ця відповідь?</b>
    <blockquote>{ $said }</blockquote>
desk-which-chosen = { $question }
    <blockquote>{ $said }</blockquote>
desk-which-none = На жодне
desk-which-claim = Тоді надішліть це ще раз: вважатиму це відповіддю про ваш власний платіж.
desk-question-who = Чий платіж №{ $number }?
desk-question-dismiss = Чому зняти №{ $number } з розгляду?
desk-question-undocharge = Чому скасувати рішення щодо №{ $number }?
desk-question-undoentry = Чому скасувати запис { $number }?
desk-question-decline = Чому відхилити звернення №{ $number }?
desk-question-dismissevent = Чому зняти подію №{ $number } з розгляду?
desk-question-howmuch = Скільки з №{ $number } повернуто?
desk-question-claim = Про мій власний платіж
desk-question-gone = На це запитання вже відповіли, або його скасовано. Але можна відповісти прямо на нього.
desk-questions-cancelled = Запитання залишено без відповіді, нічого не змінено:
    { $questions }
desk-ask-why-dismiss = <b>Чому знімаєте №{ $number } з розгляду?</b>
    Напишіть кілька слів. Буде знято з розгляду лише цей платіж; ваші слова бачать тільки оператори.
desk-ask-why-dismiss-or-item = <b>Чому знімаєте №{ $number } з розгляду?</b>
    Напишіть кілька слів, щоб зняти лише цей платіж, або натисніть кнопку, щоб зняти всі такі платежі. Вашу відповідь бачать тільки оператори.
desk-reason-dismiss-all = серед звичайних прихильників у підсумку
desk-reason-undo-all = усі рішення з підсумку скасовано
desk-dismissed-all = Знято з розгляду { $count ->
    [one] { $count } платіж
    [few] { $count } платежі
   *[other] { $count } платежів
}: { $numbers }. Про прихильників нічого не запам’ятовано.
desk-dismissed-none = Жодного платежу не знято з розгляду.
desk-undo-all-button = Скасувати все
desk-undone-all = ↩️ { $count ->
    [one] { $count } платіж знову чекає
    [few] { $count } платежі знову чекають
   *[other] { $count } платежів знову чекають
} на рішення: { $numbers }
desk-undone-none = Нічого не скасовано.
desk-skipped = • №{ $number } залишено: { $why }.
desk-skipped-decided = тим часом його вже вирішено
desk-skipped-doubt = тепер він під сумнівом
desk-skipped-code = тепер у повідомленні є код
desk-skipped-candidate = тепер він може належати користувачеві
desk-skipped-claim = його може стосуватися звернення
desk-ask-how-much = <b>Скільки з №{ $number } повернуто?</b>
    Напишіть суму: більшу за нуль і меншу за { $amount }.
desk-part-unreadable = <b>Це не частина від { $amount }.</b> Скільки з №{ $number } повернуто? Напишіть суму, наприклад <code>7,50</code>, у валюті платежу.
desk-confirm-part = <b>Зняти кредити за частину №{ $number }?</b>
desk-part-reason = <blockquote>повернуто { $part } з { $amount }</blockquote>
desk-part-user = Користувач: { $user }
desk-part-yes = Так, повернуто { $part }
desk-part-done = ↩️ №{ $number }, { $user }: { $credits }. Баланс: { $balance }.
desk-part-noted = ↩️ №{ $number }: записано. Платіж ще нікому не зараховано; коли ви його зарахуєте, кредитів буде на стільки менше.
desk-ask-why-undo-charge = <b>Чому скасовуєте рішення щодо №{ $number }?</b>
    Напишіть кілька слів. Користувач прочитає їх у /history.
desk-ask-why-undo-entry = <b>Чому скасовуєте запис { $number }?</b>
    Напишіть кілька слів. Користувач прочитає їх у /history.
desk-ask-why-decline = <b>Чому відхиляєте звернення { $user }?</b>
    Напишіть кілька слів. Їх бачать лише оператори; користувач отримає ввічливе повідомлення, що нічого не знайдено.
desk-ask-why-aside = <b>Чому знімаєте подію №{ $number } з розгляду?</b>
    Напишіть кілька слів. Їх бачать лише оператори. Балансів це не змінює, але опрацювати подію вже не можна буде.
desk-placeholder-dismissevent = Чому з нею нічого не потрібно робити?
desk-placeholder-who = Код, ім’я або ID у Telegram
desk-placeholder-howmuch = Повернута сума
desk-placeholder-dismiss = Чому не для користувача?
desk-placeholder-undocharge = Чому скасовуєте?
desk-placeholder-undoentry = Чому скасовуєте?
desk-placeholder-decline = Чому відхиляєте?

## Відмови

desk-refused-other-first = Вас випередили: { $operator }. Ось поточний стан.
desk-refused-event-decided = Вас випередили: { $operator }. Щодо цієї події вже є рішення; решту показує /failed.
desk-refused-rule-first = Рішення вже є: його ухвалило правило або сам користувач. Ось поточний стан.
desk-refused-unknown_charge = Такого платежу немає.
desk-refused-unknown_user = Такого користувача тут немає: спершу він має написати боту.
desk-refused-unknown_claim = Такого звернення немає.
desk-refused-unknown_event = Цієї події вже немає у списку: її вже опрацьовано, або хтось натиснув раніше.
desk-refused-no_rate = Для цієї валюти не задано курсу. Додайте його в CREDITS_PER_UNIT, перезапустіть сервіси, а тоді вирішуйте.
desk-refused-nothing_to_undo = Тут немає чого скасовувати.
desk-refused-no_part = Це не частина сплаченої суми. Щоб зняти всі кредити, натисніть «Скасувати рішення».
desk-refused-not_refundable = Зняти частину тут не можна: платіж знято з розгляду, не сплачено або його сума невідома.
desk-refused-nothing_to_remember = За цим платежем неможливо розпізнати наступні. Виберіть «Подарунок».
desk-refused-undone_before = Це вже було скасовано.
desk-refused-offer-taken = Вас випередили: { $operator }. Ці платежі вже вирішено.
desk-refused-unknown_offer = Цей список застарів. Новий покаже /waiting.
desk-refused-undo_too_late = Минуло більше доби. Скасовуйте кожне рішення окремо: /undo і номер платежу.
desk-refused-repeated = Уже зроблено: друге натискання нічого не змінює.
desk-refused-charge-gone = Цей платіж уже не чекає на рішення. Ось поточний стан.
desk-too-old = Це повідомлення вже недоступне в Telegram. Надішліть команду ще раз.

## Звернення

desk-claim = <b>Заплатили, а кредитів немає</b>
    { $user }: { $amount }, { $day }.
desk-claim-name = Ім’я платника: { $name }
desk-claim-no-name = Ім’я платника не вказано.
desk-claim-raised = Звернення надійшло { $time }.
desk-claim-declined-before = Раніше відхилено звернень: { $count }, востаннє { $day }.
desk-claim-candidates = Можливо, це один із платежів без власника:
desk-claim-no-candidates = Схожих платежів без власника немає. Пошукайте через /find або відхиліть звернення; якщо платіж надійде пізніше, він буде в /unmatched.
desk-claim-charge = • №{ $number }: { $amount }, { $time }, { $name } ({ $fits })
desk-claim-guessed = Або правило зарахувало його комусь іншому без повного коду:
desk-claim-guess = • №{ $number }: { $amount }, { $time }, зараховано користувачеві { $user }, підстава: { $rule }. Якщо це він: <code>/undo { $number }</code>
desk-claim-dismissed-too = Або його зняв із розгляду оператор:
desk-claim-dismissed-charge = • №{ $number }: { $amount }, { $time }, { $name }. Якщо це той самий платіж: <code>/undo { $number }</code>
desk-fit-amount = сума
desk-fit-day = день
desk-fit-name = ім’я
desk-claim-credit = ✓ №{ $number }: { $user } +{ $credits }
desk-claim-pick = №{ $number } для { $user }?
desk-decline-button = Жоден не підходить
desk-declined = Відхилено. Користувачеві надіслано повідомлення.
desk-claim-confirmed = ✅ Це був платіж №{ $charge }. { $operator }
desk-claim-declined = ⚪ Відхилив оператор { $operator }.
desk-claim-withdrawn = ⚪ Користувач відкликав звернення.

## Порівняння зі списками Buy Me a Coffee

desk-lists-title = <b>Список самого Buy Me a Coffee</b>
desk-lists-off = <b>Зі списком Buy Me a Coffee не порівнюється.</b> Щоб знаходити платежі, вебхук яких не надійшов, задайте BMC_API_TOKEN у .env і виконайте docker compose up -d. Див. docs/reconciliation.md
desk-lists-reading = ⏳ Читаю список Buy Me a Coffee…
desk-lists-slow = <b>Список самого Buy Me a Coffee</b> ще читається. Ось що відомо зараз; надішліть /reconcile ще раз за хвилину.
desk-list-supporters = Підтримка
desk-list-subscriptions = Підписки
desk-list-extras = Крамниця
desk-list-state-page = ✅ { $list }: прочитано { $ago } тому.
desk-list-state-empty = ✅ { $list }: порожньо, прочитано { $ago } тому.
desk-list-stale = 🟡 { $list }: востаннє прочитано { $ago } тому. Перевірте, чи задано BMC_API_TOKEN і чи працює janitor: docker compose ps janitor
desk-list-state-failed = 🔴 { $list }: { $ago } тому прочитати не вдалося. { $remedy }
desk-list-remedy-token_refused = Buy Me a Coffee не приймає токен. Створіть новий на https://developers.buymeacoffee.com, впишіть його в BMC_API_TOKEN і виконайте docker compose up -d
desk-list-remedy-blocked = Cloudflare перед Buy Me a Coffee блокує цей сервер. Тут цього не змінити; вебхуки працюють.
desk-list-remedy-throttled = Забагато запитів. За кілька хвилин порівняння продовжиться саме.
desk-list-remedy-unreachable = Buy Me a Coffee не відповідає. Порівняння продовжиться саме; якщо це триває довго, перевірте доступ сервера до інтернету.
desk-list-remedy-changed = Buy Me a Coffee відповідає в невідомій формі. Перевірте, чи є нова версія Coffee Ledger.
desk-lists-agree = Усі платежі зі списку відомі тут, і всі тутешні є у списку.
desk-lists-missing = <b>Є у списку, але вебхука ще немає</b> – чекаємо на нього 15 хвилин:
desk-lists-missing-row = • { $amount } ({ $list }), помічено { $ago } тому
desk-lists-found = <b>Знайдено у списку без вебхука</b>, спершу найновіші:
desk-lists-found-row = • №{ $number }: { $amount }, { $time } – { $became }
desk-lists-found-row-of = • №{ $number }: { $amount }, { $time } – { $became }: { $user }
desk-lists-found-event = • Подія №{ $number } – { $became }
desk-lists-unlisted = <b>Немає у списку, хоча вебхук надійшов</b> – можливо, хтось знає ваш секрет підпису:
desk-lists-unlisted-row = • №{ $number }: { $amount }, { $time }
desk-lists-unlisted-row-of = • №{ $number }: { $amount }, { $time }, { $user }. Якщо такого платежу немає: <code>/undo { $number }</code>

## Списки

desk-unmatched-title = <b>{ $total ->
    [one] { $total } платіж без власника
    [few] { $total } платежі без власника
   *[many] { $total } платежів без власника
}</b> · сторінка { $page } з { $pages }
desk-unmatched-none = Платежів без власника немає. Коли з’явиться, надішлю повідомлення.
desk-pending-title = <b>{ $total ->
    [one] { $total } відкритий платіж
    [few] { $total } відкриті платежі
   *[many] { $total } відкритих платежів
}</b> · сторінка { $page } з { $pages }
desk-pending-none = Відкритих платежів немає. Тут видно суми, які користувачі вибрали, але ще не сплатили.
desk-claims-title = <b>{ $total ->
    [one] { $total } відкрите звернення
    [few] { $total } відкриті звернення
   *[many] { $total } відкритих звернень
}</b> · сторінка { $page } з { $pages }
desk-claims-none = Відкритих звернень немає. Про нове надішлю повідомлення.
desk-claims-line = №{ $number } · <b>{ $amount }</b>, { $day } · { $user } · надійшло { $time }
desk-claims-button = Відкрити звернення №{ $number }
desk-failed-title = <b>{ $total ->
    [one] { $total } подія нічого не змінила
    [few] { $total } події нічого не змінили
   *[many] { $total } подій нічого не змінили
}</b> · сторінка { $page } з { $pages }
    Усуньте причину (найчастіше допомагає новіша версія) й опрацюйте події тут. Якщо подію вже не можна прочитати або ви зарахували кредити вручну, зніміть її з розгляду.
desk-failed-none = Усі події опрацьовано або знято з розгляду.
desk-failed-line = №{ $number } · { $type } · <b>{ $amount }</b> · { $time } · { $became }
desk-failed-cause = └ { $cause }
desk-failed-no-amount = сума невідома
desk-cause-no_json = Це не правильний JSON, або його обрізано.
desk-cause-row_unreadable = Це рядок зі списку Buy Me a Coffee, у якому не вдалося прочитати номер або суму.
desk-cause-no_type = Не вказано типу події.
desk-cause-no_data = У події немає даних.
desk-cause-refused = База даних відхилила зміни. Причину покаже docker compose logs webhook
desk-cause-readable = За формою все правильно. Імовірно, ця версія вже прочитає подію: опрацюйте її ще раз.
desk-failed-button = Опрацювати №{ $number } ще раз
desk-aside-button = Зняти №{ $number } з розгляду
desk-confirm-failed = <b>Опрацювати подію №{ $number } ще раз?</b> До неї застосують нинішні правила, ніби вона надійшла зараз. Якщо ви вже зарахували кредити вручну, спершу скасуйте це (/undo), інакше людина отримає їх двічі.
desk-failed-yes = Так, опрацювати
desk-aside = Подію №{ $number } знято з розгляду. Бот більше не питатиме про неї, і опрацювати її вже не можна.
desk-failed-wanted = Подію опрацьовуємо. Бот повідомить вам результат.
became-credited = зараховано
became-unmatched = чекає на рішення: /unmatched
became-refunded = повернуто
became-recorded = записано; кредитів не змінює
became-duplicate = опрацьовано раніше, коли подія надійшла повторно
became-test = тест
became-unknown = невідомий тип
became-legacy = старий формат
became-unreadable = не вдалося прочитати
became-failed = не вдалося опрацювати
became-wanted = опрацьовується
desk-guesses-title = <b>{ $total ->
    [one] За сумою й часом знайдено { $total } платіж
    [few] За сумою й часом знайдено { $total } платежі
   *[many] За сумою й часом знайдено { $total } платежів
}</b> · сторінка { $page } з { $pages }
desk-guesses-none = За сумою й часом ще не знайдено жодного платежу. Про кожен такий надішлю повідомлення без звуку.
desk-guesses-line = №{ $number } · <b>{ $amount }</b> · { $user } · { $time } · { $state }
desk-outsiders-title = <b>{ $total ->
    [one] Запам’ятовано { $total } запис
    [few] Запам’ятовано { $total } записи
   *[other] Запам’ятовано { $total } записів
}</b> · сторінка { $page } з { $pages }
    Такі платежі без чинного коду знімаються з розгляду без картки. Щоб це припинити, відкрийте платіж і натисніть «Скасувати рішення».
desk-outsiders-none = Нікого не запам’ятовано.
desk-outsiders-line = №{ $number } · { $kind }: { $name } · від { $time }
desk-outsider-supporter = прихильник
desk-outsider-subscription = підписка
desk-outsider-item = за що платять
desk-guess-stands = чинне
desk-guess-taken-back = скасовано { $time }
desk-line-note = <i>«{ $note }»</i>
desk-charge-line = №{ $number } · <b>{ $amount }</b> · { $time } · { $name } · { $state }
desk-payment-line = <code>{ $code }</code> · <b>{ $amount }</b> · { $user } · { $time } · { $status }

## Пошук

desk-find-how = Що шукати? <code>/find K7QM-2XHD</code>, <code>/find @anna</code>, <code>/find 1000001</code>, <code>/find pi_3Abc</code>, <code>/find Анна</code> (частина @імені або імені на Buy Me a Coffee) чи <code>/find anna@example.org</code>
desk-found-nothing = Нічого не знайдено. Ім’я можна вказати частково, а код, номер чи адресу — лише повністю.
desk-found-more = Є й інші: уточніть ім’я.
desk-found-nobody = Користувача з таким іменем тут немає: спершу він має написати боту.
desk-user = <b>{ $user }</b>: { $credits }, користується ботом від { $since }, мова { $language }
desk-user-erased = Дані видалено на прохання користувача { $time }.
desk-user-unreachable = Недоступний від { $time }: заблокував бота або видалив обліковий запис.
desk-email = { $email }
desk-payment-how = Який код? <code>/payment K7QM-2XHD</code>
desk-payment-unknown = Платежу з таким кодом немає.
desk-life-opened = { $time } створено
desk-life-ended = { $time } { $status }
desk-life-charge = { $time } платіж №{ $number }, { $amount } (<code>{ $charge }</code>), підстава: { $rule }
desk-life-no-charge = Платежів із цим кодом не надходило.
desk-life-entry = { $time } <b>{ $credits }</b> ({ $kind }) користувачеві <code>{ $user }</code>, запис c{ $number }
desk-life-told = { $time } повідомлення: { $kind }, { $status }
desk-entry-payment = платіж
desk-entry-refund = повернення
desk-entry-reversal = скасування
desk-entry-spend = витрата
desk-entry-adjustment = зміна
desk-sent-pending = у черзі
desk-sent-sent = надіслано
desk-sent-unreachable = користувач недоступний
desk-sent-withheld = не надіслано
desk-sent-dead = не вдалося надіслати
desk-sent-addressed = передано
desk-sent-folded = враховано в підсумку
desk-kind-payment_credited = зараховано
desk-kind-payment_refunded = повернуто
desk-kind-payment_under_review = на перевірці
desk-kind-payment_expired = час минув
desk-kind-credits_adjusted = баланс змінено
desk-kind-claim_declined = звернення відхилено
desk-kind-claim_looked_up = перевірено за списком Buy Me a Coffee
desk-kind-charge_unmatched = платіж без власника
desk-kind-charge_flagged = код оплачено двічі
desk-kind-code_came_late = код надійшов пізніше
desk-kind-refund_overdrawn = від’ємний баланс
desk-kind-charge_guessed = знайдено за сумою й часом
desk-kind-charge_refunded = платіж повернуто
desk-kind-charge_contradicted = пізніша подія суперечить
desk-kind-charge_not_listed = немає у списку Buy Me a Coffee
desk-kind-refund_unknown = повернення без платежу
desk-kind-guess_disowned = «не мій»
desk-kind-claim_raised = звернення
desk-kind-signature_failures = хибні підписи
desk-kind-test_event = тестова подія
desk-kind-event_unreadable = подію не вдалося прочитати
desk-kind-event_unknown = подія невідомого типу
desk-kind-event_retried = подію опрацьовано ще раз
desk-kind-legacy_webhook = подія у старому форматі
desk-kind-waiting_summary = підсумок

## Зміна балансу

desk-credit-how = Вкажіть, кому, скільки й чому: <code>/credit @anna +50 за переклад</code>
    Мінус знімає кредити; число пишіть без пробілів: +1000. Користувач отримає повідомлення, а причину прочитає в /history.
desk-credit-several = Це ім’я мали кілька людей. Вкажіть ID у Telegram, його показує /find.
desk-confirm-credit = { $sign ->
    [plus] <b>Додати { $credits } користувачеві { $user }?</b>
   *[minus] <b>Зняти { $credits } з балансу { $user }?</b>
}
    Баланс { $before } → <b>{ $after }</b>. Користувач прочитає в /history:
    <blockquote>{ $reason }</blockquote>
desk-adjust-yes = Так, { $credits }
desk-adjusted = ✅ { $user }: { $credits }. Баланс: { $balance }.
desk-left = Залишено як було.
desk-undo-how = Що скасувати? <code>/undo 7</code> — рішення щодо платежу №7, <code>/undo c12</code> — запис 12, <code>/undo @anna</code> — вибрати зі списку.
desk-refund-how = Додайте номер платежу, частину якого повернуто: <code>/part 7</code> для платежу №7.
desk-undo-unknown = Такого немає. <code>/undo 7</code> скасовує рішення щодо платежу №7, <code>/undo @anna</code> показує список.
desk-undo-which = <b>Що скасувати? Користувач: { $user }</b>
desk-undo-charge = Платіж №{ $number }, { $amount }, { $time }. Він знову чекатиме на рішення.
desk-undo-charge-button = Платіж №{ $number } · { $amount }
desk-undo-entry-button = Запис c{ $number } · { $credits }
desk-entry = c{ $number }: <b>{ $credits }</b>, { $user }, { $time }. «{ $cause }»
desk-confirm-undo = <b>Скасувати це?</b> Ваша причина:
    <blockquote>{ $reason }</blockquote>
desk-undo-yes = Так, скасувати
desk-undone = ↩️ Скасовано: { $user }, { $credits }. Баланс: { $balance }.
desk-undone-waits = ↩️ Платіж №{ $number } знову чекає на рішення: /unmatched

## Статистика

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
desk-stats-credits = Нараховано кредитів: { $credits }
desk-stats-methods = Зараховано за підставою: { $methods }
desk-stats-unmatched = Чекає на рішення: { $count } ({ $share })
desk-stats-refunded = Повернуто: { $count }
desk-stats-nothing = поки нічого
desk-chart-title = Платежі за днями, останні 30 днів (UTC)
desk-chart-settled = вирішено
desk-chart-waiting = чекає на рішення
desk-chart-missing = Графік намалювати не вдалося; числа правильні.

## Експорт

desk-export-how = За який період? <code>/export 2026-11</code>, <code>/export 2026-11-21</code> або <code>/export 2026-11-01 2026-11-15</code> (обидва дні включно, UTC).
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
desk-export-cut = У файлі лише перші { $rows } рядків. Виберіть коротший період.

## Пробна перевірка

desk-replay-how = Що перевірити? <code>/replay 7</code> — платіж №7, <code>/replay 2026-11-21</code> або <code>/replay 2026-11</code>. Це нічого не змінює.
desk-replay-title = <b>Пробна перевірка</b>, нічого не змінено: { $total ->
    [one] { $total } платіж
    [few] { $total } платежі
   *[many] { $total } платежів
}, з них із іншим рішенням: { $differing }.
desk-replay-none = Подій за цей період немає або їхній зміст уже видалено після закінчення строку зберігання.
desk-replay-same = • №{ $number }, { $amount }: без змін, { $then }
desk-replay-other = • <b>№{ $number }</b>, { $amount }: тоді — { $then }; тепер — { $now }
desk-replay-to = { $rule } → { $user }
desk-replay-unmatched = чекає на рішення
desk-replay-dismissed = знято з розгляду
desk-replay-why = — { $reasons }
desk-replay-cut = Показано лише перші { $count }. Виберіть коротший період.

## Стан системи

desk-doctor-steps = <b>Перші кроки: зроблено { $done } з { $all }</b>
desk-doctor-title = <b>Стан системи</b>
desk-doctor-document = docs/{ $file }, «{ $heading }»
desk-doctor-webhook-never = 🔴 Від Buy Me a Coffee ще нічого не надходило. Натисніть «Send test» на https://studio.buymeacoffee.com/webhooks. Не допомогло? Порівняйте там адресу з https://{ $host }/bmc-webhook
desk-doctor-webhook-tested = ✅ Остання подія { $ago } тому ({ $became }); за 7 днів { $count }.
desk-doctor-webhook-quiet = 🟡 Остання подія { $ago } тому. Якщо відтоді хтось платив, перевірте, чи вебхук не вимкнено: https://studio.buymeacoffee.com/webhooks
desk-doctor-secret-untested = 🟡 Секрет підпису ще не підтверджено жодною доставкою. Натисніть «Send test» на https://studio.buymeacoffee.com/webhooks
desk-doctor-secret-one = ✅ Підписано секретом № { $numbers }; за добу не було хибних підписів.
desk-doctor-secret-several = 🟡 За 7 днів підписано кількома секретами: № { $numbers }. Коли старий більше не використовуватиметься, приберіть його з BMC_WEBHOOK_SECRETS.
desk-doctor-secret-none = 🟡 Не записано, яким секретом підписано події за ці 7 днів. Натисніть «Send test» на https://studio.buymeacoffee.com/webhooks
desk-doctor-forged = 🔴 Запитів за добу, підпис яких не відповідає жодному секрету: { $count }, останній { $ago } тому. Секрет на Buy Me a Coffee змінено? Додайте новий поруч зі старим у BMC_WEBHOOK_SECRETS, виконайте docker compose up -d і натисніть «Send test» на https://studio.buymeacoffee.com/webhooks
desk-doctor-forged-before = 🟡 Запитів за добу, підпис яких не відповідає жодному секрету: { $count }, останній { $ago } тому. Новіша доставка має правильний підпис, отже секрет уже правильний.
desk-doctor-forged-none = ✅ За добу не було хибних підписів.
desk-doctor-backup = ✅ Остання резервна копія { $ago } тому.
desk-doctor-backup-old = 🟡 Останній резервній копії { $ago }. Що робити: { $document }
desk-doctor-backup-none = 🟡 Резервної копії немає. Запустіть db/backup.sh ТЕКА, а далі нехай cron робить це щодня: { $document }
desk-doctor-operators = ✅ Усі оператори отримують повідомлення.
desk-doctor-operators-away = 🟡 Ці оператори не отримують повідомлень: { $operators }. Нехай натиснуть «Почати» в цьому чаті{ $address ->
    [none] .
   *[other] : { $address }
}
desk-doctor-app = ✅ Mini App відкривається кнопкою біля поля вводу й за посиланнями на зразок { $example }
desk-doctor-app-nowhere = 🔴 Telegram не може відкрити Mini App: PUBLIC_HOST не є публічним доменним іменем. Виправте його в .env і виконайте docker compose up -d
desk-doctor-app-unknown = 🟡 Telegram не відповів, чи налаштовано Mini App. Повторіть за хвилину.
desk-doctor-app-no-button = 🟡 Кнопка біля поля вводу не відкриває Mini App. Бот налаштовує її під час запуску: docker compose restart bot
desk-doctor-app-no-link = 🟡 Посилання на зразок { $example } ще не відкривають Mini App. Надішліть @BotFather команду /mybots і виберіть свого бота, далі Bot Settings, Configure Mini App, Enable Mini App. Адреса: { $address }
desk-doctor-alerts = ✅ Сповіщення про збої ввімкнено.
desk-doctor-alerts-off = 🟡 Сповіщення про збої вимкнено. Створіть у @BotFather другого бота, задайте ALERTS_BOT_TOKEN і ALERTS_CHAT_ID та виконайте docker compose up -d: { $document }
desk-doctor-refused = 🔴 Відхилено доставок поспіль: { $count }, останню { $ago } тому. Якщо їх буде понад десять, Buy Me a Coffee вимкне вебхук. Що робити: { $document }
desk-doctor-failed = 🔴 За 7 днів не вдалося опрацювати чи прочитати подій: { $count }. Їх збережено: /failed
desk-doctor-owed-none = ✅ Усі повідомлення доставлено.
desk-doctor-owed = ✅ Повідомлень у черзі: { $count }, найстаршому { $ago }.
desk-doctor-owed-long = 🔴 Не надіслано повідомлень: { $count }, найстарше чекає { $ago }. Перевірте docker compose logs bot
desk-doctor-dead = 🟡 Повідомлень, які не вдалося надіслати: { $count }. Що робити: { $document }
desk-doctor-clock = ✅ Годинники збігаються (різниця: база даних { $database } с, Telegram { $telegram } с).
desk-doctor-clock-off = 🔴 Годинники розходяться: база даних { $database } с, Telegram { $telegram } с. Налаштуйте годинник цього сервера (timedatectl).
desk-doctor-clock-partly = 🟡 Годинник бази даних { $database } с; Telegram не повідомив часу. Повторіть за хвилину; якщо не зміниться, перевірте, чи цей сервер має доступ до TELEGRAM_API_URL.
desk-doctor-unmatched-none = ✅ Платежів без власника немає.
desk-doctor-unmatched = 🟡 Платежів без власника: { $count }. Список: /unmatched
desk-doctor-claims = 🟡 Відкритих звернень: { $count }. Список: /claims
desk-doctor-drift-none = ✅ Баланси збігаються з журналом операцій.
desk-doctor-drift = 🔴 Баланси розходяться з журналом операцій, разом на { $count }. Що робити: { $document }
desk-doctor-lists = ✅ Зі списком Buy Me a Coffee порівняно { $ago } тому: /reconcile
desk-doctor-lists-off = ⚪ Зі списком Buy Me a Coffee не порівнюється. Щоб знаходити платежі, вебхук яких не надійшов, задайте BMC_API_TOKEN: { $document }
desk-doctor-lists-stale = 🟡 Зі списком Buy Me a Coffee востаннє порівняно { $ago } тому. Перевірте, чи задано BMC_API_TOKEN і чи працює janitor: docker compose ps janitor
desk-doctor-lists-failed = 🟡 Список Buy Me a Coffee не вдається прочитати. { $remedy }
desk-doctor-unlisted = 🔴 { $count ->
    [one] { $count } платежу
    [few] { $count } платежів
   *[many] { $count } платежів
} немає у списку Buy Me a Coffee: /reconcile
desk-doctor-zone = 🟡 Час у списку Buy Me a Coffee, схоже, не в UTC. Знайдені там платежі показано з цим часом.
desk-doctor-versions = ⚪ Версія { $version } ({ $revision }), Python { $python }, Postgres { $postgres }, aiogram { $aiogram }
desk-ago = { $unit ->
    [seconds] { $count } с
    [minutes] { $count } хв
    [hours] { $count } год
   *[days] { $count } дн.
}

## Сповіщення для операторів

charge-unmatched = <b>Платіж чекає на вас</b>: { $amount } ({ $family }), { $time }
    Ключ платежу: <code>{ $charge }</code>

    Не вдалося визначити користувача:
charge-about = { $amount } ({ $family }), { $time }
    Ключ платежу: <code>{ $charge }</code>
charge-guessed = <b>Платіж зараховано за сумою й часом.</b> Коду в ньому не було. Якщо платіж чужий, скасуйте рішення.
charge-refunded = <b>Гроші за платіж повернуто</b>, усі кредити за нього знято. Buy Me a Coffee зазвичай вказує повну суму, навіть якщо повернуто лише частину: тоді натисніть кнопку нижче.
charge-contradicted = <b>Пізніша подія суперечить нашим даним.</b> Нічого не змінено: перевірте платіж на Buy Me a Coffee і вирішіть, що робити.
contradicted-amount = У нас { $known }, у пізнішій події { $told }.
contradicted-status = У нас { $known } сплачено, а стан у пізнішій події — «{ $status }».
contradicted-refund = У нас платіж на { $known }, а повернення — на { $told }.
charge-not-listed = <b>Немає у списку Buy Me a Coffee.</b> Вебхук про цей платіж надійшов понад добу тому, але у власному списку Buy Me a Coffee його немає. Пошукайте його там. Якщо такого платежу не існує, хтось знає ваш секрет підпису: змініть секрет і зніміть кредити.
refund-unknown = <b>Надійшло повернення без відповідного платежу.</b> Платіж ще може надійти, тоді їх буде поєднано. Якщо не надійде, перевірте на Buy Me a Coffee.
guess-disowned = <b>Користувач <code>{ $user }</code> повідомив: платіж не мій.</b> Платіж було знайдено за сумою й часом. Кредити знято.
charge-flagged = <b>Код оплачено двічі</b>: { $amount } ({ $family }), { $time }, код <code>{ $code }</code>
    Ключ платежу: <code>{ $charge }</code>
    Користувач отримав кредити за обидва платежі. Якщо він помилився, поверніть гроші за один на Buy Me a Coffee.
code-came-late = <b>Код надійшов після рішення</b>: { $amount } ({ $family }), { $time }, код <code>{ $code }</code>
    Ключ платежу: <code>{ $charge }</code>
    Прихильник дописав повідомлення з цим кодом уже після того, як платіж було зараховано, а код належить іншому користувачеві. Нічого не змінено. Рішення показує <code>/find { $charge }</code>; якщо правильний саме код, скасуйте там рішення й зарахуйте платіж знову.
refund-overdrawn = <b>Платіж повернуто вже після витрати кредитів</b>: користувач <code>{ $user }</code> тепер має { $credits }. Він не зможе витрачати, доки баланс не стане додатним.
test-event = <b>З’єднання працює</b>: надійшла тестова подія Buy Me a Coffee з правильним підписом. Кредитів не нараховано.
event-unreadable = <b>Подію не вдалося прочитати</b> ({ $type }). Її збережено без змін; перевірте на Buy Me a Coffee, чого вона стосується. Події, які можна опрацювати ще раз, показує /failed.
event-unknown = <b>Buy Me a Coffee надіслав подію невідомого типу</b>: { $type }. Її збережено без змін; на баланси вона не вплинула.
event-retried = <b>Подію №{ $number } опрацьовано ще раз</b>: { $became }.
claim-raised = <b>Заплатили, а кредитів немає</b>: звернення від користувача <code>{ $user }</code>.
signature-failures = <b>Підпис подій не відповідає жодному з ваших секретів</b>: уже { $count }. Наступне таке сповіщення буде, лише якщо це повториться після кількох годин тиші. Якщо секрет на Buy Me a Coffee змінено, додайте новий у BMC_WEBHOOK_SECRETS поруч зі старим. Якщо ні, запити надсилає хтось чужий; змінити він нічого не може.
legacy-webhook = <b>Buy Me a Coffee надіслав подію у старому форматі</b>, у якому бракує потрібних даних. Видаліть там вебхук і створіть його знову.

## Чому правило не визначило користувача; $rule — назва правила

rule-code = Код
rule-corrected_code = Виправлений код
rule-subscription = Підписка
rule-known_supporter = Відомий прихильник
rule-amount_and_time = Сума й час
rule-operator = Рішення оператора
why-no_code = у повідомленні немає коду
why-unknown_code = є код, але не наш
why-several_codes = кілька кодів
why-no_code_near = немає нічого схожого на чинний код
why-several_codes_near = схоже на кілька кодів
why-code_not_live = схоже на код, який уже не діє
why-no_subscription = це не підписка
why-new_subscription = підписка вперше
why-code_undone = зарахування за цим кодом скасовано
why-payment_ended = відповідний платіж уже закрито
why-answered_without_code = на запитання крамниці відповіли без коду
why-guessed_lately = менш ніж 30 днів тому вже був платіж, знайдений за сумою й часом
why-guess_taken_back = менш ніж 90 днів тому зарахування за сумою й часом скасовано
why-outsider = запам’ятовано як не нашого користувача
why-mentioned = згадано в тексті
why-status_unknown = невідомо, чи означає цей стан, що гроші надійшли
why-amount_unreadable = суму не вдалося прочитати
why-period_missing = період не вказано
why-identity_missing = немає ні ID транзакції, ні номера платежу
why-conflict = такий самий ID транзакції має інший платіж
why-announced_twice = схоже на платіж, про який уже повідомляли
why-listed_only = є лише у списку Buy Me a Coffee
why-new_supporter = прихильник уперше
why-several_users = підходять кілька користувачів
why-other_user = прихильник відомий як інший користувач
why-no_open_payment = немає відповідного відкритого платежу
why-several_open_payments = кілька відповідних відкритих платежів
why-other_amount = інша сума
why-other_currency = інша валюта
why-outside_window = поза часовим вікном
why-other_charge_waits = чекає ще один платіж на таку суму
why-code_meant = людина мала на увазі код, тож за сумою й часом не шукаємо
why-renewal = поновлення підписки не стосується відкритих платежів
why-asked_late = повторна перевірка: сума й час уже нічого не доводять
why-switched_off = вимкнено
why-no_rate = для цієї валюти немає курсу в CREDITS_PER_UNIT
reason = • { $rule }: { $why }
reason-of-user = • { $rule }: { $why } – { $user }
reason-mentioned = • { $why } – { $user }
reason-of = • { $rule }: { $why } – { $user }, код <code>{ $code }</code>
type-none = без типу

## Підсумок усього, що чекає на рішення

waiting-summary = 📋 <b>Чекають на вас: { $count }</b>
waiting-summary-none = ✅ <b>Усе вирішено, на вас нічого не чекає</b>
waiting-summary-ordinary = { $count ->
    [one] { $count } платіж, схоже, від звичайного прихильника
    [few] { $count } платежі, схоже, від звичайних прихильників
   *[other] { $count } платежів, схоже, від звичайних прихильників
}:
waiting-summary-offered = №{ $number } · { $amount } · { $name }: { $note }
waiting-summary-to-decide = { $count ->
    [one] { $count } платіж потребує вашого рішення
    [few] { $count } платежі потребують вашого рішення
   *[other] { $count } платежів потребують вашого рішення
}: /unmatched
waiting-summary-probable = • №{ $number }, { $amount }: імовірно, { $user }
waiting-summary-unsorted = Після них на черзі ще { $count ->
    [one] { $count } платіж
    [few] { $count } платежі
   *[other] { $count } платежів
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
waiting-summary-folded = Також, без окремих повідомлень: { $others }
waiting-summary-dismiss-all = { $count ->
    [one] Зняти з розгляду ({ $count })
   *[other] Зняти всі з розгляду ({ $count })
}
waiting-summary-credit = Зарахувати { $user } { $amount }
waiting-summary-about = Це повідомлення оновлюється саме, без звуку. Кожен платіж можна відкрити через /unmatched.
