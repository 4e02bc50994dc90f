"""What happens to jobs is told at once to whoever listens."""

from contextlib import closing

from services.compute.notices import Notice, Notices


def test_what_comes_together_is_one_batch() -> None:
    notices, heard = Notices(), []
    notices.call(heard.append)
    with closing(notices.batches()) as batches:
        assert next(batches) == [], "nothing was told yet"
        notices.publish("a", ended=False)
        notices.publish("b", ended=True)
        assert next(batches) == heard == [Notice("a", False), Notice("b", True)]


def test_who_closes_listens_no_more_and_the_others_do() -> None:
    notices, heard = Notices(), []
    gone, stays = notices.batches(), notices.batches()
    assert next(gone) == next(stays) == []
    notices.call(heard.append)
    gone.close()  # type: ignore[attr-defined]
    notices.publish("a", ended=True)
    assert next(stays) == heard == [Notice("a", True)]
    assert len(notices._listeners) == 2


def test_a_process_that_stops_ends_every_listener() -> None:
    notices = Notices()
    batches = notices.batches()
    assert next(batches) == []
    notices.close()
    assert list(batches) == [] == list(notices.batches())
