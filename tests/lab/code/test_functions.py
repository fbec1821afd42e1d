from orchestra.lab.code.functions import Function, functions, held_out, split

SOURCE = '''
class Box:
    def half(self, number, *, up=False):
        """Halve a number, and round it down.

        More is said here.
        """
        if up:

            number += 1
        return number // 2

    def short(self):
        """It is said in four words."""
        return 1

    def silent(self):
        one = 1
        two = 2
        return one + two

    def wide(
        self,
    ):
        """Its head has more lines than one."""
        one = 1
        return one


def accented():
    """Says what is no ASCII anywhere at all."""
    text = "é"
    return text
'''


def made(module: str, number: int) -> Function:
    return Function(
        module=module, name="f", told=f"tells of the number {number}", head="def f():", body=f"    return {number}"
    )


def test_a_function_is_its_first_paragraph_its_head_and_its_body() -> None:
    (found,) = functions(SOURCE, "boxes")
    assert found.told == "Halve a number, and round it down."
    assert found.head == "def half(self, number, *, up=False):"
    assert found.body == "    if up:\n        number += 1\n    return number // 2"
    assert found.code == f"{found.head}\n{found.body}"
    assert (found.module, found.name) == ("boxes", "half")


def test_what_does_not_parse_has_no_functions() -> None:
    assert list(functions("def half(:", "boxes")) == []


def test_no_module_is_in_two_parts_and_no_function_is_there_twice() -> None:
    found = [made(f"module{at % 40}", at // 2) for at in range(200)]
    parts = split(found, train=1000, tune=1000, test=1000)
    everything = [*parts.train, *parts.tune, *parts.test]
    assert len({one.body for one in everything}) == len(everything) == 100
    assert {held_out(one.module) for one in parts.train} == {"train"}
    assert {held_out(one.module) for one in parts.tune} == {"tune"}
    assert {held_out(one.module) for one in parts.test} == {"test"}


def test_a_smaller_part_is_the_beginning_of_a_larger_one_whatever_the_order() -> None:
    found = [made(f"module{at}", at) for at in range(100)]
    parts, fewer = (split(order, train=count, tune=1, test=3) for order, count in ((found, 30), (found[::-1], 7)))
    assert fewer.train == parts.train[:7]
    assert len(parts.test) == 3
