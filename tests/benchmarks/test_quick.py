from benchmarks import quick


def test_a_step_of_decoding_does_no_more_than_it_did() -> None:
    assert quick.exceeding(quick.measured()) == []
