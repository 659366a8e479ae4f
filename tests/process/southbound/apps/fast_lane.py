"""An application with policy requests: each is answered by a barrier request that carries the request's xid."""

import struct

from dove_ryu.southbound import framework
from dove_ryu.southbound.datapath import Datapath


class FastLane(framework.RyuApp):
    OFP_VERSIONS = (framework.ofproto_v1_3.OFP_VERSION,)

    def start(self):
        Datapath.application = 0xD0
        Datapath.ours = self.answer
        super().start()

    def answer(self, datapath, requests):
        self.logger.info("batch of %d", len(requests))
        if b"trouble" in requests[0]:
            raise ValueError("trouble")
        datapath.write(b"".join(struct.pack("!BBH4s", 4, 20, 8, request[4:8]) for request in requests))

    @framework.set_ev_cls(framework.ofp_event.EventOFPEchoReply, framework.MAIN_DISPATCHER)
    def talk(self, event):
        """A slow-path handler that sends much more than os-ken's queue holds."""
        datapath = event.msg.datapath
        for _ in range(500):
            datapath.send_barrier()
