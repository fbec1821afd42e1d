from orchestra.lab.kv.keys import UniqueTable, halves, written


def test_every_key_has_a_number_of_its_own() -> None:
    table = UniqueTable()
    assert sorted(table.values.values()) == list(range(1, 25_001))
    assert {len(key) for key in table.values} == {2, 3, 4, 5, 6}
    assert len(table.seen) == 5_000
    assert not set(table.seen) & set(table.unseen)


def test_a_key_says_its_thousands_and_then_the_rest() -> None:
    assert written("kqz") == "<kqz/>"
    assert halves(25_000) == ("25", "000")
    assert halves(1_007) == ("01", "007")
    assert halves(7) == ("00", "007")
