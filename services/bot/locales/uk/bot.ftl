# Що бот каже українською. Значення приходять екрановані; <b>, <i> і <code> — це HTML Telegram.

credits = { $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}

## Команди, як їх показує Telegram

command-pay = Підтримати й отримати кредити
command-balance = Ваші кредити
command-history = Останні нарахування
command-cancel = Скасувати відкритий платіж
command-paysupport = Допомога з платежем
command-privacy = Що про вас зберігається
about = Підтримайте на Buy Me a Coffee — і бонусні кредити надійдуть сюди самі.

## Початок, довідка, усе інше

start = Вітаємо! Тут можна підтримати проєкт на Buy Me a Coffee, а бонусні кредити надійдуть самі.

    Надішліть /pay, щоб вибрати суму.
start-choose = Вибрати суму
unknown = Не вдалося зрозуміти. Надішліть /pay, щоб підтримати, /balance, щоб побачити кредити, або /paysupport, якщо щось пішло не так.
code-goes-elsewhere = Схоже на код. Його місце — у повідомленні на Buy Me a Coffee, коли ви платите; тут із ним нічого робити не треба. Надішліть /pay, щоб знову побачити сторінку.
try-later = Тут саме щось перезапускається. Нічого не змінено й нічого не втрачено: спробуйте, будь ласка, за хвилину.
went-wrong = Тут щось пішло не так. Спробуйте ще раз; якщо повториться, дивіться /paysupport.

## Бажання підтримати

choose-amount = Дякуємо! Якою сумою хочете підтримати? Можна надіслати й власну, наприклад <code>/pay { $example }</code>.
amount-button = { $amount } · { $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}
amount-unreadable = Не вдалося прочитати суму. Надішліть її так: <code>/pay { $example }</code>
amount-too-small = Найменша сума — { $least }. Спробуйте <code>/pay { $example }</code>
amount-too-large = Найбільша сума — { $most }. Спробуйте <code>/pay { $example }</code>
currency-unknown = Цю валюту тут не приймають. Виберіть одну з цих: { $currencies }. Спробуйте <code>/pay { $example }</code>
payment-request = <b>{ $amount }</b> → <b>{ $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}</b>

    Ваш код: <code>{ $code }</code>

    1. Скопіюйте код.
    2. Відкрийте сторінку й заплатіть { $amount }.
    3. Вставте код у повідомлення («Say something nice…»).

    Кредити надійдуть сюди самі, зазвичай за кілька секунд.
copy-button = Скопіювати код
page-button = Відкрити Buy Me a Coffee
cancel-button = Скасувати
too-many-open = У вас уже { $count ->
    [one] { $count } відкритий платіж
    [few] { $count } відкриті платежі
   *[many] { $count } відкритих платежів
}. Спершу оплатіть або скасуйте один із них: /cancel
web-app-unreadable = Не вдалося прочитати те, що надіслала сторінка, тож нічого не змінено. Відкрийте її ще раз або надішліть /pay.
web-app-foreign = Цей запит створено для іншого облікового запису, тож нічого не змінено. Відкрийте сторінку з цього чату.
web-app-taken = Такий номер платежу вже використано, тож нічого не змінено. Відкрийте сторінку ще раз або надішліть /pay.

## Скасування

cancel-nothing = У вас немає відкритих платежів.
cancel-which = Який із них скасувати?
cancel-choice = { $amount } · { $code }
cancelled = Скасовано: { $amount }, код <code>{ $code }</code>. Якщо ви вже заплатили, кредити все одно надійдуть.
cancelled-short = Скасовано.
already-cancelled = Цей платіж уже скасовано раніше.
already-expired = Час цього платежу минув. Якщо ви заплатили з його кодом, кредити все одно надійдуть.
already-completed = Цей платіж уже оплачено. Дякуємо!
button-old = Ця кнопка застаріла. Надішліть /pay, щоб почати знову.

## Що є

balance = У вас <b>{ $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}</b>.
balance-debt = У вас <b>{ $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}</b>, бо платіж повернули після того, як кредити було витрачено. Нові кредити спершу покриють цю різницю.
history-empty = Тут поки порожньо. Надішліть /pay, щоб підтримати й отримати перші кредити.
history-title = Останні нарахування:
history-payment = { $time }: <b>{ $credits }</b> за { $amount }
history-refund = { $time }: <b>{ $credits }</b>, повернення { $amount }
history-spend = { $time }: <b>{ $credits }</b>, { $cause }
history-adjustment = { $time }: <b>{ $credits }</b>, { $cause }

## Підтримка і приватність

paysupport = <b>Допомога з платежем</b>

    • Кредити зазвичай надходять за кілька секунд після платежу. /balance показує їх, /history — звідки вони.
    • Забули код або помилилися в ньому? Оператор бачить платіж і зарахує його вам. Нічого не загубиться.
    • Платіж повертає власник сторінки на Buy Me a Coffee; кредити за нього тоді знімаються.

    Усе одно чогось бракує? Збережіть квитанцію, яку Buy Me a Coffee надіслав електронною поштою, і напишіть власникові бота.
privacy = <b>Що про вас зберігається</b>

    • Ваш номер у Telegram, мова та ім’я користувача — щоб звертатися до вас і вести ваші кредити.
    • Ваші платежі: сума, валюта, час і код.
    • Те, що Buy Me a Coffee повідомляє про платіж (ім’я, електронна адреса, повідомлення), згодом стирається; записи про кредити залишаються.

    Нікому нічого не передається. Buy Me a Coffee і Telegram мають власні правила приватності.

## Що повідомляють користувачам

payment-credited = <b>Дякуємо!</b> Надійшло { $amount }: <b>+{ $credits ->
    [one] { $credits } кредит
    [few] { $credits } кредити
   *[many] { $credits } кредитів
}</b>. Тепер у вас { $balance }.
credited-differs = Ви вибрали { $picked }; кредити нараховано за те, що надійшло.
credited-late = Платіж надійшов, коли час коду вже минув, і все одно знайшов вас.
credited-second = Цей код уже було використано, тож це другий платіж. Обидва ваші.
credited-corrected = У коді була дрібна помилка, але його впізнано.
payment-refunded = Ваш платіж { $amount } повернуто, тож кредити за нього знято. Тепер у вас { $balance }.
payment-expired = Платіж { $amount } з кодом <code>{ $code }</code> не надійшов вчасно, тож його закрито. Уже заплатили? Кредити все одно надійдуть. Якщо ні, надішліть /pay, коли захочете.

## Що повідомляють операторам

charge-unmatched = <b>Платіж чекає на вас</b>: { $amount } ({ $family }), { $time }
    Платіж: <code>{ $charge }</code>

    Його не вдалося зіставити з користувачем:
charge-flagged = <b>Код оплачено двічі</b>: { $amount } ({ $family }), { $time }, код <code>{ $code }</code>
    Платіж: <code>{ $charge }</code>
    Користувач отримав кредити за обидва. Якщо це його помилка, поверніть один на Buy Me a Coffee.
refund-overdrawn = <b>Платіж повернуто, коли кредити вже витрачено</b>: користувач <code>{ $user }</code> тепер має { $credits }. Витрачати він не зможе, доки рахунок не стане додатним.
test-event = <b>З’єднання працює</b>: надійшла тестова подія Buy Me a Coffee з правильним підписом. Нічого не нараховано.
event-unreadable = <b>Подію не вдалося прочитати</b> ({ $type }). Її збережено такою, як надійшла; подивіться на Buy Me a Coffee, про що вона.
event-unknown = <b>Buy Me a Coffee надіслав подію невідомого виду</b>: { $type }. Її збережено такою, як надійшла; вона нічого не змінила.
event-disagrees = <b>Подія надійшла двічі з різним змістом</b> ({ $type }). Рахується перша; другу збережено поруч. Порівняйте платіж на Buy Me a Coffee.
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
why-new_supporter = прихильник уперше
why-several_users = належить кільком користувачам
why-other_user = прихильник відомий як інший користувач
why-no_open_payment = немає відповідного відкритого платежу
why-several_open_payments = кілька відповідних відкритих платежів
why-other_amount = інша сума
why-other_currency = інша валюта
why-outside_window = поза часовим вікном
why-other_charge_waits = чекає ще один платіж на таку суму
why-code_meant = малося на увазі код, тож навмання не зараховуємо
why-renewal = поновлення підписки не відповідає відкритому платежу
why-switched_off = вимкнено
why-no_rate = для цієї валюти немає курсу в CREDITS_PER_UNIT
reason = • { $rule }: { $why }
reason-of = • { $rule }: { $why } (користувач <code>{ $user }</code>, код <code>{ $code }</code>)
type-none = без типу
