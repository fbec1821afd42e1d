from orchestra.draw.lanes import Column, route

BOXES = [(10.0, 50.0), (80.0, 120.0)]


def test_a_lane_is_above_between_or_below_the_boxes_whichever_is_nearest() -> None:
    for wanted, height in ((0.0, -2.0), (20.0, -2.0), (60.0, 65.0), (90.0, 65.0), (110.0, 132.0), (500.0, 132.0)):
        assert Column(left=0, boxes=BOXES).lane(wanted) == height


def test_lanes_at_one_place_lie_apart_and_off_the_boxes() -> None:
    column = Column(left=0, boxes=BOXES)
    assert [column.lane(65) for _ in range(3)] == [65, 71, 59]
    assert [column.lane(0) for _ in range(3)] == [-2, -8, -14]
    assert [column.lane(200) for _ in range(3)] == [132, 138, 144]


def test_where_no_more_fit_between_two_boxes_the_next_runs_by_elsewhere() -> None:
    column = Column(left=0, boxes=[*BOXES, (125.0, 150.0)])
    assert [column.lane(66) for _ in range(6)] == [65, 71, 59, 77, 53, -2]
    assert [column.lane(122) for _ in range(2)] == [162, 168]


def test_an_arrow_runs_level_past_what_lies_between() -> None:
    for start, end, edges in (((0.0, 30.0), (300.0, 30.0), (100, 160)), ((300.0, 30.0), (0.0, 30.0), (160, 100))):
        path = route(start, end, [Column(left=100, boxes=[(20.0, 40.0)])], width=60)
        assert [curve[2] for curve in path.curves] == [(edges[0], 8), (edges[1], 8), end]
        assert path.curves[1][0][1] == path.curves[1][1][1] == 8
        assert path.end == end


def test_an_arrow_to_the_next_column_is_one_curve_that_leaves_and_arrives_level() -> None:
    path = route((0, 10), (100, 50), [], width=60)
    assert path.curves == (((50, 10), (50, 50), (100, 50)),)
