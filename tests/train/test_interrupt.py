"""Ctrl-C: once is a wish, twice is an order."""

import signal
import threading

import pytest

from orchestra.train.interrupt import Wish, listening


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_a_wish(number: signal.Signals) -> None:
    with listening() as wish:
        assert not wish.stop
        signal.raise_signal(number)
        assert wish.stop


def test_the_second_ctrl_c_stops_at_once_and_a_launchers_sigterm_does_not() -> None:
    with listening() as wish:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert wish.stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_handlers_of_before_come_back_after_an_exception_too() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), listening():
        raise ZeroDivisionError
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_nothing_is_heard() -> None:
    wishes: list[Wish] = []

    def listen() -> None:
        with listening() as wish:
            wishes.append(wish)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert not wishes[0].stop
