from sandbox.telegram.limits import SendLimits


def test_a_short_burst_in_one_chat_is_allowed() -> None:
    limits = SendLimits()

    assert [limits.refusal_seconds(1, 0.0) for _ in range(6)] == [None] * 5 + [1]


def test_one_message_a_second_is_allowed_after_the_burst() -> None:
    limits = SendLimits()
    for _ in range(5):
        limits.refusal_seconds(1, 0.0)

    assert [limits.refusal_seconds(1, second) for second in (0.5, 1.0, 1.5, 2.0)] == [1, None, 1, None]


def test_a_refused_send_is_not_counted() -> None:
    limits = SendLimits()
    for _ in range(50):
        limits.refusal_seconds(1, 0.0)

    assert limits.refusal_seconds(1, 1.0) is None


def test_about_thirty_messages_a_second_are_allowed_in_total() -> None:
    limits = SendLimits()

    refusals = [limits.refusal_seconds(chat_id, 0.0) for chat_id in range(31)]

    assert refusals == [None] * 30 + [1]
    assert limits.refusal_seconds(31, 0.04) is None
