"""A program with a node inside: a function, a failure, calls for later, and a policy of its own."""

import serverledge

SOURCE = b"""
def handler(params, context):
    return {"greeting": "hello from a function", "share": 100 // params.get("divisor", 1)}
"""


class NightShift(serverledge.OffloadingPolicy):
    """Runs here what is urgent or finds a warm container, and hands the rest to the neighbour with most memory to spare."""

    def on_arrival(self, invocation, view):
        here = [serverledge.RUN, serverledge.WAIT]
        if invocation.qos_class > 0 or view.pool.warm > 0 or not invocation.can_offload:
            return here
        peers = [peer for peer in view.neighbours if peer.known and not peer.avoided]
        peers.sort(key=lambda peer: peer.available_memory, reverse=True)
        return [serverledge.offload(peer) for peer in peers[:2]] + here


def main():
    with serverledge.Node({"container.pool.memory": 512}, policy=NightShift()) as node:
        node.create("share", handler="share.handler", source=SOURCE, memory=64)

        answer = node.invoke("share", {"divisor": 3})
        print(answer.result, "warm" if answer.warm else f"started in {answer.init_time:.3f} s")

        try:
            node.invoke("share", {"divisor": 0})
        except serverledge.FunctionError as error:
            print(error)

        laters = [node.invoke_async("share", {"divisor": n}) for n in range(1, 11)]
        print([later.result(timeout=60).result["share"] for later in laters])
        print(node.policy_counts())


if __name__ == "__main__":
    main()
