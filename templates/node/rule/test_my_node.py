from my_node import MyNode

from flowrt.testing import drive, run, scene, traffic, zone

ROAD = scene(zones={"closed": zone((0, 10), (7, 30))})


def test_a_vehicle_that_drives_through_is_reported_once() -> None:
    pictures = traffic(drive((3, 50), (3, 1), speed_kmh=50), scene=ROAD)
    found = run(MyNode(scene="north", zone="closed"), pictures, scene=ROAD)
    assert [event.phase for event in found if event.phase != "update"] == ["new", "end"]


def test_a_vehicle_beside_the_zone_is_not() -> None:
    pictures = traffic(drive((10, 50), (10, 1), speed_kmh=50), scene=ROAD)
    assert run(MyNode(scene="north", zone="closed"), pictures, scene=ROAD) == []
