"""Nodes of several areas work together: functions are known everywhere, work moves to neighbours and to the cloud."""

import cluster
import network
from cluster import ClusterTest, eventually

network.enter()


class Offloading(ClusterTest):
    def test_three_edge_nodes_share_the_work_of_one(self):
        one = self.node("edge1", scheduler_policy="edgeonly")
        self.node("edge2")
        self.node("edge3")
        self.function_everywhere()
        self.runs_on(one, ["edge2", "edge3"])
        load = self.load(one, threads=6)
        load.goes_on(100)
        self.assert_none_wrong(load)
        self.assertGreater(load.nodes["edge2"], 0)
        self.assertGreater(load.nodes["edge3"], 0)

    def test_an_edge_that_is_full_uses_every_node_of_the_cloud(self):
        edge = self.node("edge1", scheduler_policy="edgecloud", container_pool_memory=128)
        self.node("cloud1")
        self.node("cloud2")
        self.function_everywhere()
        load = self.load(edge, threads=6, seconds=0.05)
        eventually(lambda: len(load.nodes) == 3, f"the edge and both nodes of the cloud work: {load.nodes}")
        self.assert_none_wrong(load)

    def test_the_nearest_nodes_are_the_neighbours(self):
        for other, round_trip in (("edge2", 0.005), ("edge3", 0.1), ("cloud1", 0.08)):
            self.network.delay("edge1", other, round_trip)
        self.network.delay("edge2", "edge3", 0.1)
        settings = {"registry_neighbours": 1, "registry_area": "ROME", "registry_nearby_interval": 0.1}
        one = self.node("edge1", scheduler_policy="edgeonly", **settings)
        self.node("edge2", **settings)
        self.node("edge3", **settings)
        self.function_everywhere()

        def mostly_near():
            where = [one.invoke(params={"n": 1})["ExecutionNode"] for _ in range(10)]
            return where.count("edge2") == 10

        eventually(mostly_near, "calls go to the nearest node")
        self.assertNotEqual(one.get("/status")["Coordinates"]["Vec"], [0, 0, 0])

    def test_an_asynchronous_call_that_was_offloaded_is_polled_anywhere(self):
        one = self.node("edge1", scheduler_policy="edgeonly")
        two = self.node("edge2")
        self.function_everywhere()
        self.runs_on(one, ["edge2"])
        load = self.load(one, threads=2, asynchronous=True)
        load.goes_on(40)
        load.stop()
        self.assertGreater(len(load.accepted), 0)
        for identifier, number in load.accepted.items():
            for node in (one, two):
                answer = eventually(lambda node=node, i=identifier: (a := node.get(f"/poll/{i}")).status == 200 and a,
                                    f"{identifier} is answered by {node.key}")
                self.assertEqual(answer["Result"], str(number))

    def test_functions_are_known_everywhere_within_a_second_and_forgotten(self):
        one, two = self.node("edge1"), self.node("cloud1")
        one.create("made", "def handler(params, context):\n    return 'first'\n")
        eventually(lambda: two.knows("made"), "the cloud knows it")
        self.assertEqual(two.invoke("made")["Result"], '"first"')
        one.create("made", "def handler(params, context):\n    return 'second'\n")
        eventually(lambda: two.invoke("made")["Result"] == '"second"', "the cloud runs the new code")
        one.request("POST", "/delete", {"Name": "made"})
        eventually(lambda: two.invoke("made").status == 404, "the cloud has forgotten it")

    def test_a_node_that_stops_is_deregistered(self):
        one = self.node("edge1", registry_lease=120)
        key = "registry/ROME/amd64/edge1"
        eventually(lambda: self.etcd.keys("registry/") == [key], "it is registered")
        self.assertIn(f"{one.host.address};1323;9876;amd64", self.etcd.command("get", key))
        self.assertEqual(one.stop(), 0)
        self.assertEqual(self.etcd.keys("registry/"), [])


if __name__ == "__main__":
    cluster.main()
